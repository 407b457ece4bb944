-- The windows that left the store and of which it holds bars all the same, in [start, end): they stand in a partition or chunk that holds
-- other windows too, and so was not dropped.
--
-- timeframe: '1m' or '1d'. bars: its table. width: of a window, as an interval. start, end: timestamptz
SELECT w.instrument_id, w.start
FROM ops.bar_window AS w
WHERE w.timeframe = :'timeframe' AND w.cold AND w.start < :'end' AND w.start + :'width'::interval > :'start'
    AND EXISTS (
        SELECT FROM :bars AS b
        WHERE b.instrument_id = w.instrument_id AND b.ts >= greatest(w.start, :'start') AND b.ts < least(w.start + :'width'::interval, :'end')
        OFFSET 0
    )
ORDER BY w.instrument_id, w.start
