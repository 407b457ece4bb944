-- The start of the newest window of each instrument that left the store, of instruments that have any.
--
-- timeframe: '1m' or '1d'; ids: int4[]
SELECT instrument_id, max(start)
FROM ops.bar_window
WHERE timeframe = :'timeframe' AND cold AND instrument_id = ANY(:'ids'::int4[])
GROUP BY instrument_id
