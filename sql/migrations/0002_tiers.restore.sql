-- Run after 0002_tiers.up.sql: brings back what a downgrade had set aside. A window that changed since is not archived any more.

DO $$
BEGIN
    IF to_regclass('ops.kept_manifest') IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO ops.manifest OVERRIDING SYSTEM VALUE SELECT * FROM ops.kept_manifest ON CONFLICT DO NOTHING;
    PERFORM setval(pg_get_serial_sequence('ops.manifest', 'manifest_id'), max(manifest_id)) FROM ops.manifest HAVING count(*) > 0;
    UPDATE ops.bar_window AS w
    SET keep_until = k.keep_until, manifest_id = k.manifest_id, archived_change = k.archived_change
    FROM ops.kept_window AS k
    WHERE (k.timeframe, k.instrument_id, k.start) = (w.timeframe, w.instrument_id, w.start);
    DROP TABLE ops.kept_manifest, ops.kept_window;
END
$$;
