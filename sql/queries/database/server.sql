-- What a server can do for us. Needs no schema, no extension and no special right.
SELECT current_setting('server_version') AS postgresql,
       t.installed_version AS timescaledb,
       t.default_version AS timescaledb_available,
       -- A setting that only the extension's loader brings; the list of what is loaded is for superusers.
       current_setting('timescaledb.max_background_workers', true) IS NOT NULL AS timescaledb_loaded,
       CASE WHEN t.installed_version IS NOT NULL THEN current_setting('timescaledb.license', true) END AS licence,
       v.installed_version AS pgvector,
       v.default_version AS pgvector_available,
       r.rolsuper OR coalesce(
           (SELECT a.trusted FROM pg_available_extension_versions AS a
            WHERE a.name = 'timescaledb' AND a.version = t.default_version)
           AND has_database_privilege(current_database(), 'CREATE'),
           false
       ) AS may_create_extensions,
       to_regclass('market.bars_1m') IS NOT NULL AS has_schema
FROM pg_roles AS r
LEFT JOIN pg_available_extensions AS t ON t.name = 'timescaledb'
LEFT JOIN pg_available_extensions AS v ON v.name = 'vector'
WHERE r.rolname = current_user
