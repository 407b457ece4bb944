-- Which instruments a ticker ever named as an alias, from which day and until which; null where there is no such limit.
--
-- ticker
SELECT i.symbol, nullif(a.valid_from, '-infinity')::text, nullif(a.valid_until, 'infinity')::text
FROM market.symbol_alias AS a
JOIN market.instrument AS i USING (instrument_id)
WHERE a.ticker = :'ticker'
