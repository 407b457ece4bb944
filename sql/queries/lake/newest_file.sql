-- The path of the newest file that the lake should hold; no row where nothing was archived.
SELECT path FROM ops.manifest WHERE deleted_at IS NULL ORDER BY manifest_id DESC LIMIT 1
