-- Days whose derived bars wait to be computed, by instrument, as numbers since 1970-01-01.
--
-- timeframe: of the base bars; ids: int4[]; start, end: timestamps of derived bars; reach: days that a derived bar's base may be from
-- its label
SELECT instrument_id, array_agg(day - date '1970-01-01')
FROM ops.rollup_pending
WHERE timeframe = :'timeframe' AND instrument_id = ANY(:'ids'::int4[])
    AND day BETWEEN :'start'::date - :'reach'::int4 AND :'end'::date + :'reach'::int4
GROUP BY instrument_id
