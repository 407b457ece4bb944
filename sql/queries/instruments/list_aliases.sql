-- The aliases of instruments, by symbol, ticker and first day; null where there is no such limit.
--
-- ids: int[], of the instruments
SELECT i.symbol, a.ticker, nullif(a.valid_from, '-infinity'), nullif(a.valid_until, 'infinity')
FROM market.symbol_alias AS a
JOIN market.instrument AS i USING (instrument_id)
WHERE i.instrument_id = ANY(:'ids'::int[])
ORDER BY i.symbol, a.ticker, a.valid_from
