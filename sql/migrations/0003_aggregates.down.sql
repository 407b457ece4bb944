-- Drops the aggregates, which are made from the bars again, and the list of what they lack.

DO $$
DECLARE
    width text;
BEGIN
    -- The widest first: they are made from the narrower ones.
    FOREACH width IN ARRAY ARRAY['4h', '1h', '30m', '15m', '5m'] LOOP
        EXECUTE format('DROP VIEW IF EXISTS market.%I', 'aggregate_' || width);
        IF to_regclass(format('market.%I', 'aggregate_' || width || '_kept')) IS NOT NULL THEN
            EXECUTE format('DROP MATERIALIZED VIEW market.%I', 'aggregate_' || width || '_kept');
        END IF;
    END LOOP;
END
$$;

DROP TABLE IF EXISTS ops.aggregate_pending;
