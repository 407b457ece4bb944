-- The starts of an instrument's minutes in [start, end), in microseconds since 1970-01-01, ascending.
--
-- instrument_id: int4; start, end: int8, microseconds since then; of times that the server does not know, the nearest that it does counts
SELECT (extract(epoch FROM ts) * 1000000)::int8
FROM market.bars_1m
WHERE instrument_id = :'instrument_id'
    AND ts >= timestamptz 'epoch' + greatest(:'start'::int8, -2000000000000000) * interval '1 microsecond'
    AND ts < timestamptz 'epoch' + least(:'end'::int8, 8000000000000000) * interval '1 microsecond'
ORDER BY ts
