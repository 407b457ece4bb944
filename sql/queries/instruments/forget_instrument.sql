-- Deletes an instrument with its halts and its aliases. Nothing else may refer to it any more.
--
-- instrument_id: int4
WITH halts AS (DELETE FROM market.halt WHERE instrument_id = :'instrument_id')
DELETE FROM market.instrument WHERE instrument_id = :'instrument_id'
