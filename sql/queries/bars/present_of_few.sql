-- The bars within spans, each of one instrument and from its first to its last bar. (A subquery of merge_bars.)
--
-- OFFSET 0 makes the planner look up span by span. first, last: timestamps around all spans, to prune partitions.
-- tid: ctid, or a null where a row has none because it may be compressed.
(
    SELECT b.*
    FROM unnest(:'span_ids'::int4[], :'span_firsts'::timestamptz[], :'span_lasts'::timestamptz[])
        AS s (instrument_id, first, last)
    CROSS JOIN LATERAL (
        SELECT *, :tid AS tid
        FROM :bars AS b
        WHERE b.instrument_id = s.instrument_id AND b.ts BETWEEN s.first AND s.last AND b.ts BETWEEN :'first' AND :'last'
        OFFSET 0
    ) AS b
)
