-- The sessions that should be requested again, newest first: those that lack something which the provider has not confirmed, and those that
-- are over and not final yet.
--
-- states: the query session_states; timeframe: '1m' or '1d'; repairable: text[], the states of those that lack something; now: timestamptz
-- limit: how many
SELECT s.instrument_id, s.symbol, s.session, s.open, s.close, s.tries
FROM (:states) AS s
JOIN ops.requested AS a
    ON a.instrument_id = s.instrument_id AND a.timeframe = :'timeframe' AND s.session >= lower(a.sessions)
WHERE ((s.state = ANY(:'repairable'::text[]) AND NOT s.confirmed) OR (s.requested AND NOT s.final)) AND s.state <> 'not_listed'
    AND s.close <= :'now'::timestamptz AND (s.next_try IS NULL OR s.next_try <= :'now'::timestamptz)
ORDER BY s.session DESC, s.instrument_id
LIMIT :'limit'
