-- The entries of the quarantine, oldest first, without their rows. An entry is replaced when its provider sent something else since
-- for every session of it.
--
-- condition: on the columns of an entry: true, or quarantine_id = 3, or released_at IS NULL AND NOT replaced, for example.
SELECT *
FROM (
    SELECT
        q.quarantine_id, q.instrument_id, i.symbol, q.timeframe, q.window_key, q.kind, q.provider, q.reason, q.row_count, q.arrived_at,
        q.released_at, q.release_reason, q.released_by, q.good_rows_only, q.landing_id, q.run_id, q.rules,
        q.requested_at, q.request_start, q.request_end, q.file,
        NOT isempty(q.sessions) AND q.sessions <@ q.replaced AS replaced
    FROM ops.quarantine AS q JOIN market.instrument AS i USING (instrument_id)
) AS entry
WHERE :condition
ORDER BY quarantine_id
