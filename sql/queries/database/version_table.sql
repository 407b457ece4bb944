-- The table that holds the revision of our schema; null where there is none. Others may have one of that name in public.
SELECT CASE
    WHEN to_regclass('ops.schema_version') IS NOT NULL THEN 'ops.schema_version'
    -- Where it was at first.
    WHEN to_regclass('market.instrument') IS NOT NULL AND EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = to_regclass('public.schema_version') AND attname = 'version_num'
    ) THEN 'public.schema_version'
END
