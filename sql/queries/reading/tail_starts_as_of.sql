-- For each range, the start of the n-th last bar that the store knew of it at a time, or of its first bar where there are fewer, and
-- how many bars there are from there on: n or fewer. Each part is limited by itself, so that its index gives no more than these.
--
-- bars: the timeframe's table; range_ids: int4[]; starts, ends: timestamptz[]; the ranges, half-open, each of another instrument
-- first, last: timestamps around all ranges, to prune partitions; as_of: timestamp
SELECT r.id, min(b.ts), count(b.ts)
FROM unnest(:'range_ids'::int4[], :'starts'::timestamptz[], :'ends'::timestamptz[]) AS r (id, first, after)
LEFT JOIN LATERAL (
    (
        SELECT p.ts
        FROM :bars AS p
        WHERE p.instrument_id = r.id AND p.ts >= r.first AND p.ts < r.after AND p.ts >= :'first' AND p.ts < :'last'
            AND p.known_at <= :'as_of'
        ORDER BY p.ts DESC
        LIMIT :'n'
    )
    UNION ALL
    (
        SELECT s.ts
        FROM market.bars_revision AS s
        WHERE s.timeframe = :'timeframe' AND s.instrument_id = r.id AND s.ts >= r.first AND s.ts < r.after
            AND s.ts >= :'first' AND s.ts < :'last' AND s.known_at <= :'as_of' AND s.superseded_at > :'as_of'
        ORDER BY s.ts DESC
        LIMIT :'n'
    )
    ORDER BY ts DESC
    LIMIT :'n'
) AS b ON true
GROUP BY r.id
