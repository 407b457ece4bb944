-- Every table of ours: its columns, its primary key, and the tables it refers to. (Without the schema's revision, and the notes of a move that is under way.)
SELECT n.nspname AS schema, c.relname AS name,
       ARRAY(
           SELECT a.attname::text FROM pg_attribute AS a
           WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
           ORDER BY a.attnum
       ) AS columns,
       ARRAY(
           SELECT a.attname::text
           FROM pg_index AS i
           CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
           JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum
           WHERE i.indrelid = c.oid AND i.indisprimary
           ORDER BY k.place
       ) AS key,
       ARRAY(
           SELECT a.attname::text FROM pg_attribute AS a
           WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attidentity <> ''
       ) AS numbered,
       ARRAY(
           SELECT format('%I.%I', fn.nspname, f.relname)
           FROM pg_constraint AS r
           JOIN pg_class AS f ON f.oid = r.confrelid
           JOIN pg_namespace AS fn ON fn.oid = f.relnamespace
           WHERE r.conrelid = c.oid AND r.contype = 'f' AND f.oid <> c.oid
       ) AS refers_to
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname IN ('market', 'ops') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND (n.nspname, c.relname) NOT IN (('ops', 'move'), ('ops', 'move_part'), ('ops', 'schema_version'))
ORDER BY 1, 2
