-- The partitions of a table with their bounds and sizes, oldest first. (One without two bounds is no work of ours.)
SELECT p.name, p.bounds[1]::timestamptz AS start, p.bounds[2]::timestamptz AS until, p.bytes
FROM (
    SELECT format('%I.%I', n.nspname, c.relname) AS name,
           regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\) TO \(''([^'']+)''\)') AS bounds,
           pg_total_relation_size(c.oid) AS bytes
    FROM pg_inherits AS i
    JOIN pg_class AS c ON c.oid = i.inhrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE i.inhparent = to_regclass(:'table_name') AND NOT i.inhdetachpending
) AS p
WHERE p.bounds IS NOT NULL
ORDER BY start
