-- Notes that an entry of the manifest holds windows as they were when their bars were read.
--
-- timeframe: '1m' or '1d'. manifest_id: of the entry
-- ids, starts, changes: int4[], date[], timestamptz[]: instrument, first day and last change of each window
UPDATE ops.bar_window AS w
SET manifest_id = :'manifest_id', archived_change = k.changed_at
FROM unnest(:'ids'::int4[], :'starts'::date[], :'changes'::timestamptz[]) AS k (instrument_id, start, changed_at)
WHERE w.timeframe = :'timeframe' AND w.instrument_id = k.instrument_id AND w.start = k.start
