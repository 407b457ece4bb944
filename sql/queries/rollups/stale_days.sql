-- The stale days of instruments in [start, end), by instrument.
--
-- base: '1m' or '1d'; ids: int4[]; start, end: timestamptz
SELECT instrument_id, array_agg(day::timestamptz ORDER BY day)
FROM ops.rollup_pending
WHERE timeframe = :'base' AND instrument_id = ANY(:'ids'::int4[]) AND day >= :'start'::date AND day < :'end'
GROUP BY instrument_id
ORDER BY instrument_id
