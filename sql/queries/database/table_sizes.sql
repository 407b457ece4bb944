-- Bytes and the planner's estimate of rows of every table of bars, over its partitions. (-1: a partition was never analysed.)
SELECT parent.relname AS name,
       coalesce(sum(pg_total_relation_size(leaf.oid)), 0)::int8 AS bytes,
       coalesce(sum(greatest(leaf.reltuples, 0)), 0)::int8 AS estimate
FROM pg_class AS parent
LEFT JOIN pg_inherits AS link ON link.inhparent = parent.oid
LEFT JOIN pg_class AS leaf ON leaf.oid = link.inhrelid
WHERE parent.relnamespace = 'market'::regnamespace AND parent.relname = ANY(:'tables') AND parent.relkind IN ('p', 'r')
GROUP BY parent.relname
