-- Which stale days could not be rolled up, why, and when that is tried again. Safe to run again.

ALTER TABLE ops.rollup_pending
    ADD COLUMN IF NOT EXISTS failures int NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS next_try timestamptz,
    ADD COLUMN IF NOT EXISTS error    text;
COMMENT ON COLUMN ops.rollup_pending.failures IS 'how often rolling the day up failed';
COMMENT ON COLUMN ops.rollup_pending.next_try IS 'it is not tried again by itself before; null where it did not fail';
COMMENT ON COLUMN ops.rollup_pending.error IS 'why it failed the last time';
