-- Ranges of sessions that were final at a time, [first, after), in days since 1970-01-01.
--
-- timeframe: '1m' or '1d'; ids: int4[]; as_of: timestamptz
SELECT f.instrument_id, lower(r) - date '1970-01-01', upper(r) - date '1970-01-01'
FROM ops.finalized AS f
CROSS JOIN unnest(f.sessions) AS r
WHERE f.timeframe = :'timeframe' AND f.instrument_id = ANY(:'ids'::int4[]) AND f.final_at <= :'as_of'
