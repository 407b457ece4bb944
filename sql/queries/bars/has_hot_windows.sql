-- Whether any window that overlaps [start, end) is in the store.
--
-- timeframe: '1m' or '1d'. width: of a window, as an interval. start, end: timestamptz
SELECT EXISTS (
    SELECT FROM ops.bar_window
    WHERE timeframe = :'timeframe' AND NOT cold AND start < :'end' AND start + :'width'::interval > :'start'
)
