-- The instruments with these canonical symbols.
--
-- symbols: text[]
SELECT i.instrument_id, i.symbol, i.asset_class, i.calendar, i.provider, i.timeframes, i.name, i.listed, i.delisted, i.in_universe
FROM market.instrument AS i
WHERE i.symbol = ANY(:'symbols'::text[])
