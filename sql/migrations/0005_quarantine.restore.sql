-- Run after 0005_quarantine.up.sql: brings back what a downgrade had set aside.

DO $$
BEGIN
    IF to_regclass('ops.kept_quarantine') IS NULL THEN
        RETURN;
    END IF;
    UPDATE ops.quarantine AS q SET sessions = k.sessions, replaced = k.replaced
    FROM ops.kept_quarantine AS k WHERE k.quarantine_id = q.quarantine_id;
    DROP TABLE ops.kept_quarantine;
END
$$;
