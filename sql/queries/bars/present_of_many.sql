-- The bars from first to last of some instruments, which an index has in their order. (A subquery of merge_bars.)
(
    SELECT *, NULL::tid AS tid
    FROM :bars
    WHERE instrument_id = ANY(:'ids'::int4[]) AND ts BETWEEN :'first' AND :'last'
)
