-- What one would write instead of roll-ups that keep revisions: derive a width from the next narrower one and upsert.
INSERT INTO {derived} (instrument_id, ts, open, high, low, close, volume, vwap, trades, source, known_at)
SELECT b.instrument_id, date_bin({width}, b.ts, timestamptz 'epoch') AS bucket,
       (array_agg(b.open ORDER BY b.ts))[1], max(b.high), min(b.low), (array_agg(b.close ORDER BY b.ts DESC))[1],
       sum(b.volume), sum(b.vwap * b.volume) / nullif(sum(b.volume), 0), sum(b.trades), min(b.source), clock_timestamp()
FROM {base} AS b
WHERE b.ts >= {start} AND b.ts < {end}
GROUP BY b.instrument_id, bucket
ON CONFLICT (instrument_id, ts) DO UPDATE
SET open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close, volume = excluded.volume,
    vwap = excluded.vwap, trades = excluded.trades, source = excluded.source, known_at = excluded.known_at
