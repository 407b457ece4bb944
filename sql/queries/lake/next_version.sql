-- The version that the next file of a range of one instrument has; instrument_id is null where a file holds all instruments.
SELECT coalesce(max(version), 0) + 1
FROM ops.manifest
WHERE timeframe = :'timeframe' AND instrument_id IS NOT DISTINCT FROM :'instrument_id'
    AND start = :'start' AND until = :'until'
