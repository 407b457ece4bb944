-- The stale days of instruments in [start, end), by instrument.
--
-- base: '1m' or '1d'; ids: int4[]; start, end: timestamptz; only_due: whether to leave days that failed and wait for another try
SELECT instrument_id, array_agg(day::timestamptz ORDER BY day)
FROM ops.rollup_pending
WHERE timeframe = :'base' AND instrument_id = ANY(:'ids'::int4[]) AND day >= :'start'::date AND day < :'end'
    AND (NOT :'only_due'::bool OR next_try IS NULL OR next_try <= clock_timestamp())
GROUP BY instrument_id
ORDER BY instrument_id
