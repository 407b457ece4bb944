-- The values of bars that were believed at a time. In no order: the server would not merge the two parts, which are in that of
-- their keys, but sort them.
--
-- columns: of b, the bars; bars: the timeframe's table; first, last: timestamps around all bars, half-open, to prune partitions
-- condition: on b, which picks the bars; as_of: timestamp
SELECT :columns
FROM :bars AS b
WHERE b.ts >= :'first' AND b.ts < :'last' AND :condition AND b.known_at <= :'as_of'
UNION ALL
SELECT :columns
FROM market.bars_revision AS b
WHERE b.timeframe = :'timeframe' AND b.ts >= :'first' AND b.ts < :'last' AND :condition
    AND b.known_at <= :'as_of' AND b.superseded_at > :'as_of'
