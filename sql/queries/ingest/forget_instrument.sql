-- Deletes what the gate rejected of an instrument, and what is known of rejected rows that a person released.
--
-- instrument_id: int4
WITH released AS (DELETE FROM ops.released_bar WHERE instrument_id = :'instrument_id')
DELETE FROM ops.quarantine WHERE instrument_id = :'instrument_id'
