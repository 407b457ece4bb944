-- Has no file of the lake hold the windows of an instrument, all of which are in the store, and lets the orchestrator record them anew.
--
-- instrument_id: int4
UPDATE ops.bar_window
SET manifest_id = NULL, archived_change = NULL, recorded_change = NULL
WHERE instrument_id = :'instrument_id'
