-- Inserts bars of one instrument as they are, with the times at which they were learnt.
--
-- bars: the table of their timeframe. instrument_id: int4; each of the others is an array
INSERT INTO :bars (instrument_id, ts, open, high, low, close, volume, vwap, trades, source, known_at)
SELECT :'instrument_id', n.*
FROM unnest(:'ts'::timestamptz[], :'open'::float8[], :'high'::float8[], :'low'::float8[], :'close'::float8[],
            :'volume'::float8[], :'vwap'::float8[], :'trades'::int4[], :'source'::int2[], :'known_at'::timestamptz[]) AS n
