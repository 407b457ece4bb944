-- What our schema consists of, as lines of text that are the same on every edition: columns, constraints, indices and views.
-- (Not: partitions and chunks, and what an extension or an administrator adds to a table without changing it.)
WITH tables AS (
    SELECT c.oid, c.relkind, format('%s.%s', n.nspname, c.relname) AS name
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('market', 'ops') AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
        AND (n.nspname, c.relname) NOT IN (('ops', 'move'), ('ops', 'move_part'), ('ops', 'schema_version'))
        AND c.relname NOT LIKE 'aggregate\_%' AND c.relname NOT LIKE 'kept\_%'
)
SELECT line
FROM (
    SELECT format('column %s.%s %s%s%s%s', t.name, a.attname, format_type(a.atttypid, a.atttypmod),
                  CASE WHEN a.attnotnull THEN ' not null' ELSE '' END,
                  CASE a.attidentity WHEN '' THEN '' ELSE ' identity' END,
                  coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')) AS line
    FROM tables AS t
    JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef AS d ON d.adrelid = t.oid AND d.adnum = a.attnum
    UNION ALL
    SELECT format('constraint %s %s', t.name, pg_get_constraintdef(c.oid))
    FROM tables AS t
    JOIN pg_constraint AS c ON c.conrelid = t.oid AND c.contype IN ('p', 'u', 'c', 'f')
    UNION ALL
    SELECT format('index %s %s', t.name, regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ', ''))
    FROM tables AS t
    JOIN pg_index AS i ON i.indrelid = t.oid AND NOT EXISTS (SELECT FROM pg_constraint AS c WHERE c.conindid = i.indexrelid)
) AS described
ORDER BY line COLLATE "C"
