-- Which of these days have a bar in the store that was rolled up from minutes: (instrument, day), days counted since 1970-01-01.
--
-- ids, days: int4[]; parallel arrays; first, last: timestamps around all of them, inclusive, to prune partitions
SELECT b.instrument_id, b.ts::date - date '1970-01-01'
FROM unnest(:'ids'::int4[], :'days'::int4[]) AS n (instrument_id, day)
JOIN market.bars_1d AS b ON b.instrument_id = n.instrument_id AND b.ts = (date '1970-01-01' + n.day)::timestamptz
WHERE b.ts BETWEEN :'first' AND :'last'
    AND b.source IN (SELECT source_id FROM market.source WHERE starts_with(name, 'derived:'))
