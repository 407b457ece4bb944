-- Deletes the findings of an instrument.
--
-- instrument_id: int4
DELETE FROM ops.finding WHERE instrument_id = :'instrument_id'
