-- Windows of derived bars too, and of each window the last change that the orchestrator is known to have on record: where it is
-- another than the last change, the orchestrator has to be told. Safe to run again.

ALTER TABLE ops.bar_window ADD COLUMN IF NOT EXISTS recorded_change timestamptz;
COMMENT ON TABLE ops.bar_window IS 'the life of each month (of bars within a day) or year (of others) of an instrument''s bars; those of derived bars are never archived';
COMMENT ON COLUMN ops.bar_window.recorded_change IS 'changed_at of what the orchestrator is known to have on record; null: it is not known';

-- What was derived before.
INSERT INTO ops.bar_window (timeframe, instrument_id, start, changed_at)
SELECT '5m', instrument_id, date_trunc('month', ts, 'UTC')::date, max(known_at) FROM market.bars_5m GROUP BY 2, 3
UNION ALL
SELECT '15m', instrument_id, date_trunc('month', ts, 'UTC')::date, max(known_at) FROM market.bars_15m GROUP BY 2, 3
UNION ALL
SELECT '30m', instrument_id, date_trunc('month', ts, 'UTC')::date, max(known_at) FROM market.bars_30m GROUP BY 2, 3
UNION ALL
SELECT '1h', instrument_id, date_trunc('month', ts, 'UTC')::date, max(known_at) FROM market.bars_1h GROUP BY 2, 3
UNION ALL
SELECT '4h', instrument_id, date_trunc('month', ts, 'UTC')::date, max(known_at) FROM market.bars_4h GROUP BY 2, 3
UNION ALL
SELECT '1w', instrument_id, date_trunc('year', ts, 'UTC')::date, max(known_at) FROM market.bars_1w GROUP BY 2, 3
UNION ALL
SELECT '1mo', instrument_id, date_trunc('year', ts, 'UTC')::date, max(known_at) FROM market.bars_1mo GROUP BY 2, 3
ON CONFLICT DO NOTHING;
