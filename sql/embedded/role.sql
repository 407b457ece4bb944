-- The role that everything of Chandlery's belongs to: no superuser. It may make databases, end other people's sessions
-- in its own databases, and read the server's statistics.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'chandlery') THEN
        CREATE ROLE chandlery LOGIN CREATEDB NOSUPERUSER IN ROLE pg_monitor, pg_signal_backend;
    END IF;
END
$$;

-- The databases that a superuser made, when there was no such role.
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN
        SELECT datname FROM pg_catalog.pg_database
        WHERE datdba = 10 AND NOT datistemplate AND datname <> 'postgres'
    LOOP
        EXECUTE format('ALTER DATABASE %I OWNER TO chandlery', name);
    END LOOP;
END
$$;

SELECT datname FROM pg_catalog.pg_database
WHERE pg_catalog.pg_get_userbyid(datdba) = 'chandlery' AND datallowconn ORDER BY 1;
