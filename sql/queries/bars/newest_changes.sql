-- When each window of a timeframe changed last.
--
-- timeframe: as in bars_<timeframe>. symbols: text[], of instruments; null for all
SELECT i.symbol, w.start, w.changed_at
FROM ops.bar_window AS w
JOIN market.instrument AS i USING (instrument_id)
WHERE w.timeframe = :'timeframe' AND (:'symbols'::text[] IS NULL OR i.symbol = ANY(:'symbols'::text[]))
