-- Records that parts of the source are here, as the source had them: how many rows, and their hashes.
INSERT INTO ops.move_part (table_name, window_key, row_count, row_hash)
SELECT * FROM unnest(:'tables'::text[], :'windows'::text[], :'rows'::bigint[], :'hashes'::numeric[])
ON CONFLICT (table_name, window_key) DO UPDATE SET row_count = excluded.row_count, row_hash = excluded.row_hash
