-- Forgets the windows of derived bars, and what the orchestrator has on record.

DELETE FROM ops.bar_window WHERE timeframe NOT IN ('1m', '1d');
ALTER TABLE ops.bar_window DROP COLUMN IF EXISTS recorded_change;
