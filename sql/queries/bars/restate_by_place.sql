-- Gives bars that changed their new values, where they were found; a row for each. (A part of merge_bars.)
--
-- changed: rows of merge_bars' delta. first, last: timestamps around all of them, to prune partitions; there should be few, because a place
-- is looked up in each
UPDATE :bars AS b
SET open = d.open, high = d.high, low = d.low, close = d.close, volume = d.volume, vwap = d.vwap, trades = d.trades,
    source = d.source, known_at = :'known_at'::timestamptz
FROM :changed AS d
WHERE b.ctid = d.tid AND b.instrument_id = d.instrument_id AND b.ts = d.ts AND b.ts BETWEEN :'first' AND :'last'
RETURNING 1
