-- The symbol that an instrument has now, by a ticker that it had and that no instrument has for its symbol.
--
-- tickers: text[]
SELECT DISTINCT ON (a.ticker) a.ticker, i.symbol
FROM market.symbol_alias AS a
JOIN market.instrument AS i USING (instrument_id)
WHERE a.ticker = ANY(:'tickers'::text[]) AND NOT EXISTS (SELECT FROM market.instrument AS o WHERE o.symbol = a.ticker)
ORDER BY a.ticker, a.valid_until DESC
