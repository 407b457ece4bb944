-- Notes that the stale days of instruments in [start, end) could not be rolled up. The pause until the next try doubles with each failure.
--
-- base: '1m' or '1d'; ids: int4[]; start, end: timestamptz; error: text; first_pause, longest_pause: intervals
UPDATE ops.rollup_pending
SET failures = failures + 1, error = :'error',
    next_try = clock_timestamp() + least(:'first_pause'::interval * 2 ^ least(failures, 16), :'longest_pause'::interval)
WHERE timeframe = :'base' AND instrument_id = ANY(:'ids'::int4[]) AND day >= :'start'::date AND day < :'end'
