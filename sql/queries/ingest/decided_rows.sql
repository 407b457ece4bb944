-- The rows of entries that a person released, with what that person decided of them, in the order of the decisions.
--
-- timeframe: text; ids: int4[], the instruments
SELECT quarantine_id, instrument_id, good_rows_only, bars
FROM ops.quarantine
WHERE released_at IS NOT NULL AND timeframe = :'timeframe' AND instrument_id = ANY(:'ids'::int4[])
ORDER BY released_at, quarantine_id
