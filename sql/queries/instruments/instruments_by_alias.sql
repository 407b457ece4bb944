-- The instruments that a ticker named as an alias at any time in [start, end).
--
-- ticker; start, end: timestamptz
SELECT DISTINCT i.instrument_id, i.symbol, i.asset_class, i.calendar, i.provider, i.timeframes, i.name, i.listed, i.delisted, i.in_universe
FROM market.symbol_alias AS a
JOIN market.instrument AS i USING (instrument_id)
WHERE a.ticker = :'ticker' AND a.valid_from < :'end' AND a.valid_until > :'start'::date
