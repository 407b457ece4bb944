-- The instruments that a ticker names as an alias on any day before another: symbol, first day, first day after; null where there is no limit.
--
-- ticker; until: date, null for ever
SELECT i.symbol, nullif(a.valid_from, '-infinity'), nullif(a.valid_until, 'infinity')
FROM market.symbol_alias AS a
JOIN market.instrument AS i USING (instrument_id)
WHERE a.ticker = :'ticker' AND a.valid_from < coalesce(:'until'::date, 'infinity')
ORDER BY a.valid_from
