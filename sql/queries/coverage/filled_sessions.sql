-- Which of these sessions have a bar, in the store or in the lake.
--
-- timeframe: '1m' or '1d'; instrument_id: int4; days: their dates, date[]
SELECT d.day
FROM unnest(:'days'::date[]) AS d (day)
WHERE EXISTS (
    SELECT FROM ops.coverage AS c
    WHERE c.instrument_id = :'instrument_id' AND c.timeframe = :'timeframe' AND c.session = d.day AND c.present > 0
) OR :'timeframe' = '1d' AND EXISTS (
    SELECT FROM market.bars_1d AS b
    WHERE b.instrument_id = :'instrument_id' AND b.ts = d.day::timestamp AT TIME ZONE 'UTC'
)
