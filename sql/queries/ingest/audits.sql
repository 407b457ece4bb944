-- By which rules and calendars the gate audited what was ever published of some instruments, each combination once.
--
-- timeframe: of the bars; ids: int4[], the instruments
--
-- Publications of before origins were recorded do not say of which instruments they are: they may be of any.
SELECT DISTINCT rules, coalesce(calendars, '{}') AS calendars
FROM ops.publication
WHERE timeframe = :'timeframe' AND origin NOT LIKE 'roll-up%'
    AND (instrument_ids IS NULL OR instrument_ids && :'ids'::int4[])
