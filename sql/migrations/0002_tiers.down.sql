-- Refuses while a window is in the lake alone: going back would lose sight of its bars.

DO $$
BEGIN
    IF to_regclass('ops.bar_window') IS NOT NULL AND EXISTS (SELECT FROM ops.bar_window WHERE cold) THEN
        RAISE EXCEPTION 'some windows of bars are in the lake alone; restore them first';
    END IF;
END
$$;

DROP TABLE IF EXISTS ops.bar_window;
DROP TABLE IF EXISTS ops.tiering;
DROP TABLE IF EXISTS ops.manifest;
