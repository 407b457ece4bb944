-- Ranges of sessions that are final, [first, after), in days since 1970-01-01.
--
-- timeframe: '1m' or '1d'; ids: int4[]
SELECT a.instrument_id, lower(r) - date '1970-01-01', upper(r) - date '1970-01-01'
FROM ops.requested AS a
CROSS JOIN unnest(a.final) AS r
WHERE a.timeframe = :'timeframe' AND a.instrument_id = ANY(:'ids'::int4[])
