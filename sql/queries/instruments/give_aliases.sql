-- Gives the aliases of an instrument to another.
--
-- giver, receiver: int4
UPDATE market.symbol_alias SET instrument_id = :'receiver' WHERE instrument_id = :'giver'
