-- Deletes the days of an instrument that wait for the server's continuous aggregates.
--
-- instrument_id: int4
DELETE FROM ops.aggregate_pending WHERE instrument_id = :'instrument_id'
