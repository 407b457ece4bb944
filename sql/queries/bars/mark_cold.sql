-- Marks windows cold of which an entry of the manifest holds the present version, and notes the sources of their bars. Returns
-- (instrument, first day) of those that it marked.
--
-- timeframe: '1m' or '1d'. bars: its table. width: of a window, as an interval
-- ids, starts, manifest_ids: int4[], date[], int8[]: instrument, first day and entry of each window
UPDATE ops.bar_window AS w
SET cold = true,
    keep_until = NULL,
    sources = ARRAY(
        SELECT DISTINCT b.source
        FROM :bars AS b
        WHERE b.instrument_id = w.instrument_id AND b.ts >= w.start AND b.ts < w.start + :'width'::interval
    )
FROM unnest(:'ids'::int4[], :'starts'::date[], :'manifest_ids'::int8[]) AS k (instrument_id, start, manifest_id)
WHERE w.timeframe = :'timeframe' AND w.instrument_id = k.instrument_id AND w.start = k.start
    AND w.manifest_id = k.manifest_id AND w.archived_change = w.changed_at AND NOT w.cold
RETURNING w.instrument_id, w.start
