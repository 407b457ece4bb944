-- How many findings are open of each of these windows, of those that have any.
--
-- timeframe: text; ids, scopes: instrument ids and windows, parallel arrays
SELECT instrument_id, scope, count(*)
FROM unnest(:'ids'::int4[], :'scopes'::text[]) AS w (instrument_id, scope)
JOIN ops.finding AS f USING (instrument_id, scope)
WHERE f.state = 'open' AND f.timeframe = :'timeframe'
GROUP BY 1, 2
