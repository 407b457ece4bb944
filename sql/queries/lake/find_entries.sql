-- Entries of the manifest by their ids, or all that are not retired, sorted by path.
--
-- ids: int8[]; null for all that are not retired
SELECT *
FROM ops.manifest
WHERE CASE WHEN :'ids'::int8[] IS NULL THEN retired_at IS NULL ELSE manifest_id = ANY(:'ids'::int8[]) END
ORDER BY path
