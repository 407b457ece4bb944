-- Notes days as stale though no bar of them changed. A day that is listed stays as it is.
--
-- timeframe: of the base bars; ids: int4[]; days: date[]; parallel arrays
INSERT INTO ops.rollup_pending (timeframe, instrument_id, day, noted_at)
SELECT :'timeframe', id, day, clock_timestamp()
FROM unnest(:'ids'::int4[], :'days'::date[]) AS n (id, day)
ON CONFLICT (timeframe, instrument_id, day) DO NOTHING
