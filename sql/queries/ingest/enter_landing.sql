-- Enters a file of the landing zone; one that was entered before, by its path, stays as it is. Returns the row.
--
-- Each variable is the value of the column of its name.
INSERT INTO ops.landing
    (provider, timeframe, symbols, start_ts, end_ts, fetched_at, row_count, path, checksum, writer)
VALUES
    (:'provider', :'timeframe', :'symbols', :'start_ts', :'end_ts', :'fetched_at', :'row_count', :'path', :'checksum',
     :'writer')
ON CONFLICT (path) DO UPDATE SET path = excluded.path
RETURNING *
