-- What the roles may do with the tables. Run by chandlery_owner in the database chandlery after each migration; safe to
-- run again.
GRANT USAGE ON SCHEMA market, ops TO chandlery_pipeline, chandlery_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA market, ops TO chandlery_pipeline, chandlery_reader;
GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA market, ops TO chandlery_pipeline;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA market, ops TO chandlery_pipeline;
-- Which version the schema has is the owner's to say, and a view is to be read.
REVOKE INSERT, UPDATE, DELETE ON ops.schema_version, market.ohlcv FROM chandlery_pipeline;

-- Partitions of bars are made ahead of need and dropped when their time has come, by the pipeline. So they and the tables
-- that they are partitions of belong to it, and so do continuous aggregates, which it refreshes. All else is the owner's.
GRANT CREATE ON SCHEMA market TO chandlery_pipeline;
DO $$
DECLARE
    thing record;
BEGIN
    FOR thing IN
        SELECT c.oid::regclass AS name, c.relkind
        FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = 'market'::regnamespace AND c.relkind IN ('p', 'r', 'v')
            AND (c.relname ~ '^bars_[0-9]' OR c.relname ~ '^aggregate_')
            AND c.relowner <> 'chandlery_pipeline'::regrole
        ORDER BY c.relispartition DESC, c.relname
    LOOP
        EXECUTE format(
            'ALTER %s %s OWNER TO chandlery_pipeline',
            CASE WHEN thing.name::text ~ '_kept$' THEN 'MATERIALIZED VIEW' WHEN thing.relkind = 'v' THEN 'VIEW' ELSE 'TABLE' END,
            thing.name
        );
    END LOOP;
END
$$;
