-- Every earlier value of bars that were restated, sorted by instrument, time and when it was learned.
--
-- first, last: timestamps around all bars, half-open, to prune partitions; condition: on b, which picks the bars
SELECT b.instrument_id, b.ts, b.open, b.high, b.low, b.close, b.volume, b.vwap, b.trades, b.source, b.known_at,
       b.superseded_at
FROM market.bars_revision AS b
WHERE b.timeframe = :'timeframe' AND b.ts >= :'first' AND b.ts < :'last' AND :condition
ORDER BY b.instrument_id, b.ts, b.known_at
