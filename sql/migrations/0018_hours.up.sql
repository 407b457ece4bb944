-- How many bars came in each hour of a session, so that a missing run is measured by the time of day. Safe to run again.

ALTER TABLE ops.coverage ADD COLUMN IF NOT EXISTS by_hour smallint[];
COMMENT ON COLUMN ops.coverage.by_hour IS 'bars in each hour since the session''s open; null where every minute has one, or not counted yet';
