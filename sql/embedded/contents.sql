-- Gives the role `chandlery` everything in this database that the superuser made (his number is 10; what belongs to the
-- system has numbers below 16384, and what belongs to an extension stays with it).
DO $$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        WITH of_extension AS (SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e')
        SELECT format('ALTER SCHEMA %I OWNER TO chandlery', n.nspname)
        FROM pg_catalog.pg_namespace AS n
        WHERE n.nspowner = 10 AND n.oid >= 16384
          AND NOT EXISTS (SELECT FROM of_extension WHERE classid = 'pg_namespace'::regclass AND objid = n.oid)
        UNION ALL
        SELECT format('ALTER %s %s OWNER TO chandlery',
                      CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                                     WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END,
                      c.oid::regclass)
        FROM pg_catalog.pg_class AS c
        WHERE c.relowner = 10 AND c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'c')
          AND c.relnamespace <> 'pg_toast'::regnamespace
          -- A sequence of a column follows its table.
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                          WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
                            AND c.relkind = 'S')
          AND NOT EXISTS (SELECT FROM of_extension WHERE classid = 'pg_class'::regclass AND objid = c.oid)
        UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO chandlery', p.oid::regprocedure)
        FROM pg_catalog.pg_proc AS p
        WHERE p.proowner = 10 AND p.oid >= 16384
          AND NOT EXISTS (SELECT FROM of_extension WHERE classid = 'pg_proc'::regclass AND objid = p.oid)
        UNION ALL
        SELECT format('ALTER TYPE %s OWNER TO chandlery', t.oid::regtype)
        FROM pg_catalog.pg_type AS t
        WHERE t.typowner = 10 AND t.oid >= 16384 AND t.typtype IN ('d', 'e')
          AND NOT EXISTS (SELECT FROM of_extension WHERE classid = 'pg_type'::regclass AND objid = t.oid)
    LOOP
        EXECUTE statement;
    END LOOP;
END
$$;
