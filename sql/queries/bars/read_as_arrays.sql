-- The present values of bars within ranges: a row for each range that has any, with its place among them, how many,
-- and their columns as arrays in their binary form, sorted by time.
--
-- A row of the answer costs both sides more than the values in it, and the server adds up arrays faster where each is short.
--
-- arrays: array_send(array_agg(...)) of each column; bars: the timeframe's table; ids: int4[], starts, ends: timestamptz[], the ranges, half-open;
-- parallel arrays; first, last: timestamps around all ranges, half-open, to prune partitions
SELECT r.place, b.*
FROM unnest(:'ids'::int4[], :'starts'::timestamptz[], :'ends'::timestamptz[]) WITH ORDINALITY AS r (instrument_id, start, after, place)
CROSS JOIN LATERAL (
    SELECT count(*), :arrays
    FROM (
        SELECT *
        FROM :bars AS b
        WHERE b.instrument_id = r.instrument_id AND b.ts >= r.start AND b.ts < r.after AND b.ts >= :'first' AND b.ts < :'last'
        ORDER BY b.ts
    ) AS b
    HAVING count(*) > 0
) AS b
