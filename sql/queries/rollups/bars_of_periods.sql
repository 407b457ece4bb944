-- The bars of a week or a month that start within these periods: (instrument, start, days since 1970-01-01).
--
-- bars: the timeframe's table; ids, firsts, afters: int4[], the days of the periods, [first, after); parallel arrays; first, last: timestamps
-- around all of them, inclusive, to prune partitions
SELECT b.instrument_id, b.ts::date - date '1970-01-01'
FROM unnest(:'ids'::int4[], :'firsts'::int4[], :'afters'::int4[]) AS n (instrument_id, first, after)
JOIN :bars AS b ON b.instrument_id = n.instrument_id
    AND b.ts >= (date '1970-01-01' + n.first)::timestamptz AND b.ts < (date '1970-01-01' + n.after)::timestamptz
WHERE b.ts BETWEEN :'first' AND :'last'
