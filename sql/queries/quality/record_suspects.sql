-- Records suspect bars: open, until the next bar is there, or confirmed. What a person said of one stays. The same again changes nothing.
--
-- timeframe, rule, closed_by: text
-- ids, ts, windows, states: parallel arrays: instrument id, start of the bar, the window that it lies in, and 'open' or 'confirmed'
-- opens, highs, lows, closes, known: parallel to them: its prices, and since when they are known
-- width: length of a bar, interval
INSERT INTO ops.finding AS f (instrument_id, timeframe, rule, scope, spans, evidence, state, closed_at, closed_by, reason)
SELECT s.instrument_id, :'timeframe', :'rule', to_char(s.ts AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
       tstzmultirange(tstzrange(s.ts, s.ts + :'width'::interval)),
       jsonb_build_object('detail', format('open %s high %s low %s close %s', s.open, s.high, s.low, s.close), 'window', s.window_key,
                          'known_at', s.known_at),
       s.state, CASE s.state WHEN 'confirmed' THEN clock_timestamp() END, CASE s.state WHEN 'confirmed' THEN :'closed_by' END,
       CASE s.state WHEN 'confirmed' THEN 'the next bar took it back' END
FROM unnest(
    :'ids'::int4[], :'ts'::timestamptz[], :'windows'::text[], :'states'::text[], :'opens'::float8[], :'highs'::float8[], :'lows'::float8[],
    :'closes'::float8[], :'known'::timestamptz[]
) AS s (instrument_id, ts, window_key, state, open, high, low, close, known_at)
ON CONFLICT (instrument_id, timeframe, rule, scope) DO UPDATE
SET evidence = excluded.evidence, state = excluded.state, closed_at = excluded.closed_at, closed_by = excluded.closed_by,
    reason = excluded.reason, changed_at = clock_timestamp()
WHERE (f.closed_by IS NULL OR f.closed_by = :'closed_by') AND (f.state, f.evidence) IS DISTINCT FROM (excluded.state, excluded.evidence)
