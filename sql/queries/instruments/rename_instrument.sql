-- Gives an instrument another symbol. The one that it had becomes an alias, from ever until a day.
--
-- instrument_id: int4; symbol: the new one; former: the one that it had; until: date on which that no longer named it, null where it still does
WITH renamed AS (
    UPDATE market.instrument SET symbol = :'symbol' WHERE instrument_id = :'instrument_id'
),
own AS (
    DELETE FROM market.symbol_alias WHERE instrument_id = :'instrument_id' AND ticker = :'symbol'
)
INSERT INTO market.symbol_alias AS a (ticker, valid_from, valid_until, instrument_id)
VALUES (:'former', '-infinity', coalesce(:'until'::date, 'infinity'), :'instrument_id')
ON CONFLICT (ticker, valid_from) DO UPDATE SET valid_until = excluded.valid_until, instrument_id = excluded.instrument_id
