-- Forgets what was asked of providers, and what is known of gaps and halts. Bars and coverage stay.

ALTER TABLE ops.coverage DROP COLUMN IF EXISTS hole_slots;
ALTER TABLE ops.coverage DROP COLUMN IF EXISTS hole_start;
DROP TABLE IF EXISTS market.halt;
DROP TABLE IF EXISTS ops.gap;
DROP TABLE IF EXISTS ops.finalized;
DROP TABLE IF EXISTS ops.asked;
DROP TABLE IF EXISTS ops.landing;
DROP TABLE IF EXISTS ops.call_budget;
