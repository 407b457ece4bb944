-- Notes that continuous aggregates have to be refreshed for every day that has derived bars; other days are noted when they are derived.
INSERT INTO ops.aggregate_pending (instrument_id, day)
SELECT DISTINCT instrument_id, (ts AT TIME ZONE 'UTC')::date FROM market.bars_4h
ON CONFLICT (instrument_id, day) DO UPDATE SET noted_by = excluded.noted_by
