-- Who may enter the databases, and with which limits. Run by a superuser in the database chandlery; safe to run again.
ALTER DATABASE chandlery OWNER TO chandlery_owner;
ALTER DATABASE chandlery_dagster OWNER TO chandlery_dagster;
REVOKE ALL ON DATABASE chandlery, chandlery_dagster FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE chandlery TO chandlery_pipeline;
GRANT CONNECT ON DATABASE chandlery TO chandlery_reader, chandlery_daemon;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

-- A belt beside the braces: what these roles may do is said by their rights, not by this.
ALTER ROLE chandlery_reader IN DATABASE chandlery SET default_transaction_read_only = on;
ALTER ROLE chandlery_reader IN DATABASE chandlery SET statement_timeout = '60s';
ALTER ROLE chandlery_reader CONNECTION LIMIT 50;
ALTER ROLE chandlery_daemon CONNECTION LIMIT 10;
ALTER ROLE chandlery_backup CONNECTION LIMIT 4;

-- Only a superuser can make an extension whose author did not mark it as trusted. Where the server has not loaded
-- TimescaleDB, the database is a plain one.
DO $$
BEGIN
    IF current_setting('shared_preload_libraries') LIKE '%timescaledb%' THEN
        CREATE EXTENSION IF NOT EXISTS timescaledb SCHEMA public;
        -- Where chunks are: who is to own them has to be allowed to have tables there.
        GRANT USAGE, CREATE ON SCHEMA _timescaledb_internal TO chandlery_pipeline;
    END IF;
END
$$;
