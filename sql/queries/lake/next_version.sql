-- The version that the next file of a scope has: one more than any that this instrument has had of it, or that ever lay in its folder, under
-- a symbol that another instrument had before.
--
-- timeframe; instrument_id: null for a file of all instruments; start, until: dates; folder: below the lake's root
SELECT coalesce(max(version), 0) + 1
FROM ops.manifest
WHERE timeframe = :'timeframe' AND start = :'start' AND until = :'until'
    AND (instrument_id IS NOT DISTINCT FROM :'instrument_id' OR starts_with(path, :'folder'))
