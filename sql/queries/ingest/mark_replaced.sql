-- Marks sessions of entries that wait as replaced, because their provider answered for them again.
--
-- ids, sessions: instrument ids, and for each the sessions that were answered for, as the text of a datemultirange.
-- current: numbers of the entries that hold what was rejected of this very answer; they are not replaced by it.
UPDATE ops.quarantine AS q
SET replaced = q.replaced + answered.sessions
FROM unnest(:'ids'::int4[], :'sessions'::text[]::datemultirange[]) AS answered (instrument_id, sessions)
WHERE q.instrument_id = answered.instrument_id AND q.timeframe = :'timeframe' AND q.provider = :'provider'
    AND q.released_at IS NULL AND q.quarantine_id <> ALL(:'current'::int8[]) AND q.sessions - q.replaced && answered.sessions
