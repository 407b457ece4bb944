-- Registers an instrument, or changes its description where that differs. Returns a row unless nothing changed.
--
-- symbol, asset_class, calendar, provider, name: text; timeframes: text[]; listed, delisted: dates, or null
INSERT INTO market.instrument AS i (symbol, asset_class, calendar, provider, timeframes, name, listed, delisted)
VALUES (:'symbol', :'asset_class', :'calendar', :'provider', :'timeframes', :'name', :'listed', :'delisted')
ON CONFLICT (symbol) DO UPDATE
SET asset_class = excluded.asset_class, calendar = excluded.calendar, provider = excluded.provider,
    timeframes = excluded.timeframes, name = excluded.name, listed = excluded.listed, delisted = excluded.delisted
WHERE (i.asset_class, i.calendar, i.provider, i.timeframes, i.name, i.listed, i.delisted)
    IS DISTINCT FROM (excluded.asset_class, excluded.calendar, excluded.provider, excluded.timeframes, excluded.name,
                      excluded.listed, excluded.delisted)
RETURNING symbol, xmax = 0 AS added
