-- The answers of a provider in the landing zone that were not processed, oldest first; locks each until the transaction ends. An
-- answer whose run still holds the lock of its number is left out: that run will process it.
--
-- lock_class: the first key of the advisory locks of runs.
SELECT *
FROM ops.landing
WHERE provider = :'provider' AND timeframe = :'timeframe' AND processed_at IS NULL
    AND pg_try_advisory_xact_lock(:'lock_class'::int4, writer)
ORDER BY fetched_at, landing_id
