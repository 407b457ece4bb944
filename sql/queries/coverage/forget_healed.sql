-- Takes sessions off the retry schedule that lack nothing which a provider could still give. What a provider confirmed stays, because
-- it says why the session is as it is, unless the session became complete all the same.
--
-- states: the query session_states; timeframe: '1m' or '1d'; healed: text[], the states of those that lack nothing
DELETE FROM ops.retry_schedule AS g
USING (:states) AS s
WHERE g.timeframe = :'timeframe' AND g.instrument_id = s.instrument_id AND g.session = s.session
    AND (s.state = 'complete' OR NOT s.confirmed AND s.state = ANY(:'healed'::text[]))
