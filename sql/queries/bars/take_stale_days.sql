-- Takes the stale days of instruments in [start, end) off the list, and returns them, days counted since 1970-01-01.
--
-- base: '1m' or '1d'; ids: int4[]; start, end: timestamptz; only_due: whether to leave days that failed and wait for another try
DELETE FROM ops.rollup_pending
WHERE timeframe = :'base' AND instrument_id = ANY(:'ids'::int4[]) AND day >= :'start'::date AND day < :'end'
    AND (NOT :'only_due'::bool OR next_try IS NULL OR next_try <= clock_timestamp())
RETURNING instrument_id, day - date '1970-01-01'
