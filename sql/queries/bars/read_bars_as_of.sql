-- The values that were believed at as_of of bars that start in [first, last) and are wanted, in no order: the server would not merge the
-- two parts, which are in that of their keys, but sort them.
SELECT :columns
FROM :bars AS b
WHERE b.ts >= :'first' AND b.ts < :'last' AND :wanted AND b.known_at <= :'as_of'
UNION ALL
SELECT :columns
FROM market.bars_revision AS b
WHERE b.timeframe = :'timeframe' AND b.ts >= :'first' AND b.ts < :'last' AND :wanted
    AND b.known_at <= :'as_of' AND b.superseded_at > :'as_of'
