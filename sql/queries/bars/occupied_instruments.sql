-- Which of the instruments already have a bar within their range? The range from first to last spans all, to prune partitions.
--
-- limit: how many of them are asked for, or null for all
SELECT r.instrument_id
FROM unnest(:'ids'::int4[], :'firsts'::timestamptz[], :'lasts'::timestamptz[]) AS r (instrument_id, first, last)
WHERE EXISTS (
    SELECT FROM :bars AS b
    WHERE b.instrument_id = r.instrument_id AND b.ts BETWEEN r.first AND r.last AND b.ts BETWEEN :'first' AND :'last'
)
LIMIT :'limit'
