-- Run after 0004_providers.up.sql: brings back what a downgrade had set aside, of the instruments that there still are.

DO $$
BEGIN
    IF to_regclass('ops.kept_halt') IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO market.halt SELECT k.* FROM ops.kept_halt AS k JOIN market.instrument USING (instrument_id) ON CONFLICT DO NOTHING;
    INSERT INTO ops.asked SELECT k.* FROM ops.kept_asked AS k JOIN market.instrument USING (instrument_id) ON CONFLICT DO NOTHING;
    INSERT INTO ops.finalized SELECT k.* FROM ops.kept_finalized AS k JOIN market.instrument USING (instrument_id) ON CONFLICT DO NOTHING;
    INSERT INTO ops.gap SELECT k.* FROM ops.kept_gap AS k JOIN market.instrument USING (instrument_id) ON CONFLICT DO NOTHING;
    INSERT INTO ops.landing OVERRIDING SYSTEM VALUE SELECT * FROM ops.kept_landing ON CONFLICT DO NOTHING;
    PERFORM setval(pg_get_serial_sequence('ops.landing', 'landing_id'), max(landing_id)) FROM ops.landing HAVING count(*) > 0;
    DROP TABLE ops.kept_halt, ops.kept_asked, ops.kept_finalized, ops.kept_gap, ops.kept_landing;
END
$$;
