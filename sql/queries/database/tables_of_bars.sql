-- How this database was set up: the kind of its tables of bars (p: partitioned, r: a hypertable; no row before
-- `chandlery init`), TimescaleDB's licence, and the schema of TimescaleDB's functions (both null where it is not there).
SELECT c.relkind, current_setting('timescaledb.license', true) AS licence, n.nspname AS schema
FROM pg_class AS c
LEFT JOIN pg_extension AS e ON e.extname = 'timescaledb'
LEFT JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE c.oid = to_regclass('market.bars_1m')
