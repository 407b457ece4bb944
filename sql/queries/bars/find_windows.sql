-- The states of the windows of a timeframe that start in [start, until).
--
-- timeframe: '1m' or '1d'. start, until: dates
-- ids: int4[], the instruments; null for all
-- cold: true for windows that left the store, false for those that did not, null for both
SELECT instrument_id, start, changed_at, archived_change, manifest_id, cold, keep_until
FROM ops.bar_window
WHERE timeframe = :'timeframe' AND start >= :'start' AND start < :'until'
    AND (:'ids'::int4[] IS NULL OR instrument_id = ANY(:'ids'::int4[]))
    AND (:'cold'::bool IS NULL OR cold = :'cold'::bool)
ORDER BY instrument_id, start
