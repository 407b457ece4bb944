-- Every instrument, in the order of registration.
SELECT i.instrument_id, i.symbol, i.asset_class, i.calendar, i.provider, i.timeframes, i.name, i.listed, i.delisted, i.in_universe
FROM market.instrument AS i
ORDER BY i.instrument_id
