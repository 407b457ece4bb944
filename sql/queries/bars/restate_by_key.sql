-- Gives bars that changed their new values; a row for each. (A part of merge_bars.)
--
-- Always a conflict, and so an update of exactly these rows: where chunks are compressed, an UPDATE with a join would unpack everything
-- in the range, and this unpacks what holds one of the rows.
--
-- changed: rows of merge_bars' delta
INSERT INTO :bars (instrument_id, ts, open, high, low, close, volume, vwap, trades, source, known_at)
SELECT instrument_id, ts, open, high, low, close, volume, vwap, trades, source, :'known_at'::timestamptz
FROM :changed AS d
WHERE believed_from IS NOT NULL
ON CONFLICT (instrument_id, ts) DO UPDATE
SET open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close, volume = excluded.volume,
    vwap = excluded.vwap, trades = excluded.trades, source = excluded.source, known_at = excluded.known_at
RETURNING 1
