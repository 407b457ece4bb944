-- Retires the entries of one instrument that hold no window any more; instrument_id is null for files of all instruments.
UPDATE ops.manifest AS m
SET retired_at = clock_timestamp()
WHERE m.retired_at IS NULL AND m.timeframe = :'timeframe' AND m.instrument_id IS NOT DISTINCT FROM :'instrument_id'
    AND NOT EXISTS (SELECT FROM ops.bar_window AS w WHERE w.manifest_id = m.manifest_id)
