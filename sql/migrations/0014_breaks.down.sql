-- Forgets the breaks within sessions, which calendars know anyway.

ALTER TABLE market.session
    DROP COLUMN IF EXISTS break_start,
    DROP COLUMN IF EXISTS break_end;
