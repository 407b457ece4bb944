-- Which values of bars were confirmed as false prints, by instrument and time; by as_of, where it is not null.
--
-- timeframe: text; ids: instrument ids, int4[]; start, end: timestamptz, [start, end); as_of: timestamptz or null
SELECT instrument_id, lower(spans), (evidence ->> 'known_at')::timestamptz
FROM ops.finding
WHERE rule = 'suspect_print' AND state = 'confirmed' AND timeframe = :'timeframe' AND instrument_id = ANY(:'ids'::int4[])
    AND lower(spans) >= :'start' AND lower(spans) < :'end'
    AND (:'as_of'::timestamptz IS NULL OR closed_at <= :'as_of')
