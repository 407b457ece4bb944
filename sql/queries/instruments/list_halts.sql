-- The halts of trading that are recorded, by symbol and start.
--
-- symbols: text[] of canonical symbols, or null for those of all instruments
SELECT i.symbol, h.start_ts, h.end_ts, h.reason
FROM market.halt AS h
JOIN market.instrument AS i USING (instrument_id)
WHERE :'symbols'::text[] IS NULL OR i.symbol = ANY(:'symbols'::text[])
ORDER BY i.symbol, h.start_ts
