-- The other tickers of instruments, the latest first: (symbol, ticker).
--
-- symbols: text[], canonical
SELECT i.symbol, a.ticker
FROM market.symbol_alias AS a
JOIN market.instrument AS i USING (instrument_id)
WHERE i.symbol = ANY(:'symbols'::text[])
GROUP BY i.symbol, a.ticker
ORDER BY i.symbol, max(a.valid_until) DESC, a.ticker
