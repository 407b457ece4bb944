-- The first and the last bar of instruments that have any, present or former.
--
-- bars: the timeframe's table; timeframe: its name; ids: int4[]
SELECT instrument_id, min(ts), max(ts)
FROM (
    SELECT instrument_id, ts FROM :bars WHERE instrument_id = ANY(:'ids'::int4[])
    UNION ALL
    SELECT instrument_id, ts FROM market.bars_revision WHERE timeframe = :'timeframe' AND instrument_id = ANY(:'ids'::int4[])
) AS b
GROUP BY instrument_id
ORDER BY instrument_id
