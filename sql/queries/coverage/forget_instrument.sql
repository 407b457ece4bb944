-- Deletes what is known of the requests for an instrument.
--
-- instrument_id: int4
WITH final AS (DELETE FROM ops.finalized WHERE instrument_id = :'instrument_id'),
retries AS (DELETE FROM ops.retry_schedule WHERE instrument_id = :'instrument_id')
DELETE FROM ops.requested WHERE instrument_id = :'instrument_id'
