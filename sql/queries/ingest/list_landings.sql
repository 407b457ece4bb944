-- The answers in the landing zone whose files are there, newest first.
--
-- provider: whose; null for those of all. since: only what came then or later; null for all.
SELECT *
FROM ops.landing
WHERE deleted_at IS NULL AND (:'provider'::text IS NULL OR provider = :'provider') AND timeframe = :'timeframe'
    AND (:'since'::timestamptz IS NULL OR fetched_at >= :'since')
ORDER BY fetched_at DESC, landing_id DESC
