-- How many findings that nobody dismissed there are of each of these windows, of those that have any.
--
-- timeframe: text; ids, scopes: instrument ids and windows, parallel arrays
SELECT w.instrument_id, w.scope, count(*)
FROM unnest(:'ids'::int4[], :'scopes'::text[]) AS w (instrument_id, scope)
JOIN ops.finding AS f ON f.instrument_id = w.instrument_id AND coalesce(f.evidence ->> 'window', f.scope) = w.scope
WHERE f.state <> 'dismissed' AND f.timeframe = :'timeframe'
GROUP BY 1, 2
