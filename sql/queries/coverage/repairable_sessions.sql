-- The final sessions that lack something which the provider has not confirmed and may still have, newest first.
--
-- states: the query session_states; timeframe: '1m' or '1d'; ids: int4[]; depths: interval[], for how long after an open bars are served,
-- null for ever; parallel arrays; repairable: text[], the states of those that lack something; now: timestamptz; limit: how many
SELECT s.instrument_id, s.symbol, s.session, s.open, s.tries
FROM (:states) AS s
JOIN unnest(:'ids'::int4[], :'depths'::interval[]) AS n (id, depth) ON n.id = s.instrument_id
JOIN ops.requested AS a
    ON a.instrument_id = s.instrument_id AND a.timeframe = :'timeframe' AND s.session >= lower(a.sessions)
WHERE s.state = ANY(:'repairable'::text[]) AND NOT s.confirmed AND s.close <= :'now'::timestamptz
    AND (s.next_try IS NULL OR s.next_try <= :'now'::timestamptz)
    AND (n.depth IS NULL OR s.open >= :'now'::timestamptz - n.depth)
ORDER BY s.session DESC, s.instrument_id
LIMIT :'limit'
