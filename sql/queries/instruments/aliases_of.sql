-- The aliases of an instrument, by ticker and first day; null where there is no such limit.
--
-- instrument_id
SELECT ticker, nullif(valid_from, '-infinity'), nullif(valid_until, 'infinity')
FROM market.symbol_alias
WHERE instrument_id = :'instrument_id'
ORDER BY ticker, valid_from
