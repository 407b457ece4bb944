-- Run after 0017_findings.up.sql: brings back what a downgrade had set aside.

DO $$
BEGIN
    IF to_regclass('ops.kept_finding') IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO ops.finding OVERRIDING SYSTEM VALUE SELECT * FROM ops.kept_finding ON CONFLICT DO NOTHING;
    PERFORM setval(pg_get_serial_sequence('ops.finding', 'finding_id'), max(finding_id)) FROM ops.finding HAVING count(*) > 0;
    INSERT INTO ops.released_bar SELECT * FROM ops.kept_released_bar ON CONFLICT DO NOTHING;
    DROP TABLE ops.kept_finding;
    DROP TABLE ops.kept_released_bar;
END
$$;
