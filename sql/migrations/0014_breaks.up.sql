-- The breaks within sessions: a minute of a lunch break is not one that lacks a bar. Safe to run again.

ALTER TABLE market.session
    ADD COLUMN IF NOT EXISTS break_start timestamptz,
    ADD COLUMN IF NOT EXISTS break_end   timestamptz,
    DROP CONSTRAINT IF EXISTS session_break_check,
    ADD CONSTRAINT session_break_check CHECK (
        (break_start IS NULL) = (break_end IS NULL) AND open < break_start AND break_start < break_end AND break_end < close
    );
COMMENT ON COLUMN market.session.break_start IS 'first instant of the break within the session; null where it has none';
COMMENT ON COLUMN market.session.break_end IS 'first instant after the break';
