-- Which days were rolled up from minutes, of those that left the store: their coverage is that of the minutes. Safe to run again.

ALTER TABLE ops.coverage ADD COLUMN IF NOT EXISTS derived boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN ops.coverage.derived IS 'of a day: rolled up from minutes, because no provider gave it';
