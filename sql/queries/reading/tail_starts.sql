-- For each range, the start of the n-th last bar that the store has of it, or of its first bar where there are fewer, and how many
-- bars there are from there on: n or fewer.
--
-- bars: the timeframe's table; range_ids: int4[]; starts, ends: timestamptz[]; the ranges, half-open, each of another instrument
-- first, last: timestamps around all ranges, to prune partitions
SELECT r.id, min(b.ts), count(b.ts)
FROM unnest(:'range_ids'::int4[], :'starts'::timestamptz[], :'ends'::timestamptz[]) AS r (id, first, after)
LEFT JOIN LATERAL (
    SELECT b.ts
    FROM :bars AS b
    WHERE b.instrument_id = r.id AND b.ts >= r.first AND b.ts < r.after AND b.ts >= :'first' AND b.ts < :'last'
    ORDER BY b.ts DESC
    LIMIT :'n'
) AS b ON true
GROUP BY r.id
