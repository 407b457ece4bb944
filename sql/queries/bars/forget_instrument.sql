-- Deletes what is noted of the bars of an instrument that has none.
--
-- instrument_id: int4
WITH pending AS (DELETE FROM ops.rollup_pending WHERE instrument_id = :'instrument_id')
DELETE FROM ops.coverage WHERE instrument_id = :'instrument_id'
