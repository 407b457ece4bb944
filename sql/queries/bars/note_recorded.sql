-- Notes which change of windows the orchestrator has on record. What is noted already stays as it is.
--
-- timeframe: as in bars_<timeframe>. symbols: text[]; starts: date[]; recorded: timestamptz[]; parallel arrays
-- all_others: whether none of the timeframe's other windows is on record
UPDATE ops.bar_window AS w
SET recorded_change = n.recorded
FROM (
    SELECT o.instrument_id, o.start, k.recorded, k.symbol IS NOT NULL AS named
    FROM ops.bar_window AS o
    JOIN market.instrument AS i USING (instrument_id)
    LEFT JOIN unnest(:'symbols'::text[], :'starts'::date[], :'recorded'::timestamptz[]) AS k (symbol, start, recorded)
        ON k.symbol = i.symbol AND k.start = o.start
    WHERE o.timeframe = :'timeframe'
) AS n
WHERE w.timeframe = :'timeframe' AND w.instrument_id = n.instrument_id AND w.start = n.start
    AND (n.named OR :'all_others') AND w.recorded_change IS DISTINCT FROM n.recorded
