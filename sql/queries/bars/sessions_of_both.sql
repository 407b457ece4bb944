-- The first session of which two instruments both have minutes; no row where there is none.
--
-- giver, receiver: int4
SELECT session
FROM ops.coverage AS g JOIN ops.coverage AS r USING (timeframe, session)
WHERE timeframe = '1m' AND g.instrument_id = :'giver' AND r.instrument_id = :'receiver'
ORDER BY session
LIMIT 1
