-- What was requested of a session: (requested, final, final since when, how often it was tried again, when it is next).
--
-- instrument_id: int4; timeframe: '1m' or '1d'; session: date
SELECT coalesce(bool_or(:'session'::date <@ r.sessions), false),
       coalesce(bool_or(:'session'::date <@ r.final), false),
       (SELECT min(f.final_at) FROM ops.finalized AS f
        WHERE f.instrument_id = :'instrument_id' AND f.timeframe = :'timeframe' AND :'session'::date <@ f.sessions),
       coalesce(max(t.tries), 0), max(t.next_try)
FROM (VALUES (:'instrument_id'::int4, :'timeframe'::text)) AS k (instrument_id, timeframe)
LEFT JOIN ops.requested AS r USING (instrument_id, timeframe)
LEFT JOIN ops.retry_schedule AS t
    ON t.instrument_id = k.instrument_id AND t.timeframe = k.timeframe AND t.session = :'session'::date
