-- Gives what the gate rejected of an instrument, and which of its bars a person released, to another.
--
-- giver, receiver: int4
WITH released AS (
    UPDATE ops.released_bar SET instrument_id = :'receiver' WHERE instrument_id = :'giver'
)
UPDATE ops.quarantine SET instrument_id = :'receiver' WHERE instrument_id = :'giver'
