-- Marks bars that broke a rule and that a person released. The same again changes nothing.
--
-- bars: their table; timeframe: text; instrument_id, quarantine_id: numbers
-- ts, broken: parallel arrays: the start of each bar, timestamptz, and the rules that it broke, joined by commas
INSERT INTO ops.released_bar (instrument_id, timeframe, ts, known_at, quarantine_id, broken)
SELECT b.instrument_id, :'timeframe', b.ts, b.known_at, :'quarantine_id', string_to_array(r.broken, ',')
FROM unnest(:'ts'::timestamptz[], :'broken'::text[]) AS r (ts, broken)
JOIN :bars AS b ON b.instrument_id = :'instrument_id' AND b.ts = r.ts
ON CONFLICT DO NOTHING
