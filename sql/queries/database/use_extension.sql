-- Puts TimescaleDB's functions on the search path until the transaction ends.
SELECT set_config('search_path', quote_ident(n.nspname) || ', pg_catalog', true)
FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'timescaledb'
