-- Records suspect bars: open, until the next bar is there, or confirmed. What a person said of one stays. The same again changes nothing.
--
-- bars: their table; timeframe, rule, closed_by: text
-- ids, ts, windows, states: parallel arrays: instrument id, start of the bar, the window that it lies in, and 'open' or 'confirmed'
-- width: length of a bar, interval
INSERT INTO ops.finding AS f (instrument_id, timeframe, rule, scope, spans, evidence, state, closed_at, closed_by, reason)
SELECT s.instrument_id, :'timeframe', :'rule', to_char(s.ts AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
       tstzmultirange(tstzrange(s.ts, s.ts + :'width'::interval)),
       jsonb_build_object('detail', format('open %s high %s low %s close %s', b.open, b.high, b.low, b.close), 'window', s.window_key,
                          'known_at', b.known_at),
       s.state, CASE s.state WHEN 'confirmed' THEN clock_timestamp() END, CASE s.state WHEN 'confirmed' THEN :'closed_by' END,
       CASE s.state WHEN 'confirmed' THEN 'the next bar took it back' END
FROM unnest(:'ids'::int4[], :'ts'::timestamptz[], :'windows'::text[], :'states'::text[]) AS s (instrument_id, ts, window_key, state)
JOIN :bars AS b ON b.instrument_id = s.instrument_id AND b.ts = s.ts
ON CONFLICT (instrument_id, timeframe, rule, scope) DO UPDATE
SET evidence = excluded.evidence, state = excluded.state, closed_at = excluded.closed_at, closed_by = excluded.closed_by,
    reason = excluded.reason, changed_at = clock_timestamp()
WHERE (f.closed_by IS NULL OR f.closed_by = :'closed_by') AND (f.state, f.evidence) IS DISTINCT FROM (excluded.state, excluded.evidence)
