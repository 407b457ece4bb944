-- Marks bars that broke a rule and that a person released. The same again changes nothing.
--
-- bars: their table; timeframe: text; instrument_id: number
-- ts, entries, broken: parallel arrays: the start of each bar, timestamptz, the number of its entry, and the rules that it broke, joined by
-- commas
INSERT INTO ops.released_bar (instrument_id, timeframe, ts, known_at, quarantine_id, broken)
SELECT b.instrument_id, :'timeframe', b.ts, b.known_at, r.quarantine_id, string_to_array(r.broken, ',')
FROM unnest(:'ts'::timestamptz[], :'entries'::int8[], :'broken'::text[]) AS r (ts, quarantine_id, broken)
JOIN :bars AS b ON b.instrument_id = :'instrument_id' AND b.ts = r.ts
ON CONFLICT DO NOTHING
