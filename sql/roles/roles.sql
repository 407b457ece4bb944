-- The roles of Chandlery on a server, one for each service. None is a superuser, and none may make databases or roles.
--
-- Run by a superuser in any database; safe to run again. A role has no password, and so cannot log in over the network,
-- until it gets one (ALTER ROLE ... PASSWORD, or `python -m chandlery.ops.roles make`).
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['owner', 'pipeline', 'reader', 'daemon', 'dagster', 'backup'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'chandlery_' || name) THEN
            EXECUTE format('CREATE ROLE %I', 'chandlery_' || name);
        END IF;
        EXECUTE format(
            'ALTER ROLE %I LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS %s',
            'chandlery_' || name,
            CASE name WHEN 'backup' THEN 'REPLICATION' ELSE 'NOREPLICATION' END
        );
    END LOOP;
END
$$;

-- The tables of bars belong to the pipeline, because partitions are made and dropped by whom they belong to. The owner,
-- who migrates, has to reach them.
GRANT chandlery_pipeline TO chandlery_owner;
-- To say who holds the place of the one daemon.
GRANT pg_read_all_stats TO chandlery_daemon;

COMMENT ON ROLE chandlery_owner IS 'migrates the schema (service migrate)';
COMMENT ON ROLE chandlery_pipeline IS 'writes bars and their records (service code)';
COMMENT ON ROLE chandlery_reader IS 'reads bars and their records (service webserver, and people)';
COMMENT ON ROLE chandlery_daemon IS 'holds the place of the one daemon, reads no table (service daemon)';
COMMENT ON ROLE chandlery_dagster IS 'owns the database of Dagster''s records';
COMMENT ON ROLE chandlery_backup IS 'copies the whole server as it runs, logs in to no database (service backup)';
