-- Notes the days of an instrument's minutes for the server's continuous aggregates, under another instrument that has them now.
--
-- giver, receiver: int4; noted: whether this edition keeps aggregates
WITH gone AS (DELETE FROM ops.aggregate_pending WHERE instrument_id = :'giver')
INSERT INTO ops.aggregate_pending (instrument_id, day)
SELECT :'receiver', session + step FROM ops.coverage CROSS JOIN generate_series(-1, 1) AS step
WHERE :'noted'::bool AND timeframe = '1m' AND instrument_id = ANY(ARRAY[:'giver'::int4, :'receiver'::int4])
ON CONFLICT DO NOTHING
