-- Run after 0010_universe.up.sql: brings back what a downgrade had set aside.

DO $$
BEGIN
    IF to_regclass('ops.kept_universe') IS NULL THEN
        RETURN;
    END IF;
    UPDATE market.instrument AS i SET in_universe = k.in_universe
    FROM ops.kept_universe AS k WHERE k.instrument_id = i.instrument_id;
    DROP TABLE ops.kept_universe;
END
$$;
