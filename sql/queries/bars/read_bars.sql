-- The present values of bars, sorted by instrument and time.
--
-- columns: of b, the bars; bars: the timeframe's table; first, last: timestamps around all bars, half-open, to prune partitions
-- condition: on b, which picks the bars
SELECT :columns
FROM :bars AS b
WHERE b.ts >= :'first' AND b.ts < :'last' AND :condition
ORDER BY b.instrument_id, b.ts
