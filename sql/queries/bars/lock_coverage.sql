-- Locks the coverage of sessions of minutes, and lists those that were locked. Those that a publication holds are skipped.
--
-- ids: int4[]; sessions: date[]; parallel arrays
SELECT c.instrument_id, c.session
FROM ops.coverage AS c
JOIN unnest(:'ids'::int4[], :'sessions'::date[]) AS n (instrument_id, session) USING (instrument_id, session)
WHERE c.timeframe = '1m'
FOR UPDATE OF c SKIP LOCKED
