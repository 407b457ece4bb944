-- Records which lake belongs to this database, where none is on record.
INSERT INTO ops.lake (lake_id, root) VALUES (:'lake_id'::uuid, :'root') ON CONFLICT DO NOTHING
