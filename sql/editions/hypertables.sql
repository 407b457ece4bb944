-- Makes hypertables of TimescaleDB out of the tables of bars, which must be empty: their partitions go. Safe to run again.
--
-- Run by the owner of the tables, in one transaction, with TimescaleDB's schema and pg_catalog on the search path.

DO $$
DECLARE
    timeframe text;
    rights    record;
    shape     text := pg_get_viewdef('market.ohlcv'::regclass);
    remark    text := obj_description('market.ohlcv'::regclass, 'pg_class');
BEGIN
    IF EXISTS (SELECT FROM pg_class WHERE oid = 'market.bars_1m'::regclass AND relkind = 'r') THEN
        RETURN;
    END IF;
    -- Dropping a table forgets who may read it.
    CREATE TEMPORARY TABLE held ON COMMIT DROP AS
    SELECT c.relname AS name, a.privilege_type AS privilege, a.is_grantable,
           CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
    FROM pg_class AS c
    CROSS JOIN aclexplode(c.relacl) AS a
    WHERE c.relnamespace = 'market'::regnamespace AND NOT c.relispartition
        AND (c.relname = 'ohlcv' OR c.relkind = 'p') AND a.grantee <> c.relowner;

    DROP VIEW market.ohlcv;
    -- Out of the way with everything that has a name, so that the new tables get the same names.
    CREATE SCHEMA market_before;
    FOREACH timeframe IN ARRAY ARRAY['1m', '5m', '15m', '30m', '1h', '4h', '1d', '1w', '1mo'] LOOP
        EXECUTE format('ALTER TABLE market.%I SET SCHEMA market_before', 'bars_' || timeframe);
        EXECUTE format('CREATE TABLE market.%1$I (LIKE market_before.%1$I INCLUDING ALL)', 'bars_' || timeframe);
        EXECUTE format('DROP TABLE market_before.%I', 'bars_' || timeframe);
        PERFORM create_hypertable(
            format('market.%I', 'bars_' || timeframe)::regclass,
            by_range('ts', CASE
                WHEN timeframe = '1m' THEN interval '30 days'
                WHEN timeframe IN ('1d', '1w', '1mo') THEN interval '3650 days'
                ELSE interval '365 days'
            END),
            create_default_indexes => false
        );
    END LOOP;
    DROP SCHEMA market_before;
    EXECUTE 'CREATE VIEW market.ohlcv AS ' || shape;
    EXECUTE format('COMMENT ON VIEW market.ohlcv IS %L', remark);

    FOR rights IN SELECT * FROM held LOOP
        EXECUTE format('GRANT %s ON market.%I TO %s%s', rights.privilege, rights.name, rights.grantee,
                       CASE WHEN rights.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
    END LOOP;
END
$$;
