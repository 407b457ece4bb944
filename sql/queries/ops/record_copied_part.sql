-- Records that a part of the source is here, as the source had it: how many rows, and their hash.
INSERT INTO ops.move_part (table_name, window_key, row_count, row_hash)
VALUES (:'table', :'window', :'rows', :'hash')
ON CONFLICT (table_name, window_key) DO UPDATE SET row_count = excluded.row_count, row_hash = excluded.row_hash
