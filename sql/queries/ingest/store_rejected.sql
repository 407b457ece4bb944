-- Stores rows that the gate rejected. The same rows again are the same entry: it waits again, for the reasons of now, unless a person
-- released it.
--
-- Each variable is the value of the column of its name; sessions are the dates of the rows, as a datemultirange.
INSERT INTO ops.quarantine AS q
    (instrument_id, timeframe, window_key, kind, provider, reason, checks, row_count, digest, bars, sessions, landing_id,
     run_id, rules, requested_at, request_start, request_end, file)
VALUES
    (:'instrument_id', :'timeframe', :'window_key', :'kind', :'provider', :'reason', :'checks', :'row_count', :'digest', :'bars',
     :'sessions'::datemultirange, :'landing_id', :'run_id', :'rules',
     :'requested_at', :'request_start', :'request_end', :'file')
ON CONFLICT (instrument_id, timeframe, digest) DO UPDATE
SET replaced = '{}', kind = excluded.kind, reason = excluded.reason, checks = excluded.checks, bars = excluded.bars,
    sessions = excluded.sessions, rules = excluded.rules
WHERE q.released_at IS NULL AND (NOT isempty(q.replaced) OR (q.kind, q.reason, q.rules) IS DISTINCT FROM
    (excluded.kind, excluded.reason, excluded.rules))
