-- Gives the rows of delta that are in the table their new values, where they were found. (A part of merge_bars.)
--
-- first, last: timestamps around all of them, to prune partitions; there should be few, because a place is looked up in each
(
    UPDATE :bars AS b
    SET open = d.open, high = d.high, low = d.low, close = d.close, volume = d.volume, vwap = d.vwap, trades = d.trades,
        source = d.source, known_at = :'known_at'::timestamptz
    FROM delta AS d
    WHERE b.ctid = d.place AND b.instrument_id = d.instrument_id AND b.ts = d.ts AND b.ts BETWEEN :'first' AND :'last'
    RETURNING 1
)
