-- Which instruments the gate never audited, as far as is recorded.
--
-- timeframe: of the bars; ids: int4[], the instruments
--
-- Publications of before origins were recorded do not say of which instruments they are: they may be of any.
SELECT id
FROM unnest(:'ids'::int4[]) AS id
WHERE NOT EXISTS (
    SELECT FROM ops.publication
    WHERE timeframe = :'timeframe' AND origin NOT LIKE 'roll-up%'
        AND (instrument_ids IS NULL OR instrument_ids && ARRAY[id]::int4[])
)
