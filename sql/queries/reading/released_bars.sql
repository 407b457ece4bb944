-- Which values of bars a person released although they broke a rule, by instrument and time.
--
-- timeframe: text; ids: instrument ids, int4[]; start, end: timestamptz, [start, end)
SELECT instrument_id, ts, known_at
FROM ops.released_bar
WHERE timeframe = :'timeframe' AND instrument_id = ANY(:'ids'::int4[]) AND ts >= :'start' AND ts < :'end'
