-- The present values of bars that start in [first, last) and are wanted.
SELECT b.instrument_id, b.ts, b.open, b.high, b.low, b.close, b.volume, b.vwap, b.trades, b.source, b.known_at
FROM {bars} AS b
WHERE b.ts >= {first} AND b.ts < {last} AND {wanted}
ORDER BY b.instrument_id, b.ts
