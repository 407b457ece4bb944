-- The newest sessions that are over and settled, and still not final: those that were requested too early, and those that were never
-- requested since the first that was, unless there are bars of them all the same. However much is open, few sessions are looked at.
--
-- ids: int4[]; delays: interval[], for how long after a close bars may still change; depths: interval[], for how long after an open bars are
-- served, null for ever; parallel arrays; timeframe: '1m' or '1d'; now: timestamptz; per_instrument: how many sessions of each are looked
-- at, its newest; limit: how many are returned
SELECT i.instrument_id, i.symbol, s.session, s.open, coalesce(g.tries, 0) AS tries
FROM unnest(:'ids'::int4[], :'delays'::interval[], :'depths'::interval[]) AS n (id, delay, depth)
JOIN market.instrument AS i ON i.instrument_id = n.id
JOIN ops.requested AS a ON a.instrument_id = n.id AND a.timeframe = :'timeframe'
CROSS JOIN LATERAL (
    SELECT o.session, o.open
    FROM unnest(
        datemultirange(daterange(
            greatest(lower(a.sessions), i.listed, (:'now'::timestamptz - n.depth)::date - 1),
            greatest(lower(a.sessions), i.listed, (:'now'::timestamptz - n.depth)::date - 1,
                     least(i.delisted, (:'now'::timestamptz)::date + 2))
        )) - a.final
    ) AS r (days)
    CROSS JOIN LATERAL (
        SELECT t.session, t.open
        FROM market.session AS t
        WHERE t.calendar = i.calendar AND t.session >= lower(r.days) AND t.session < upper(r.days)
            AND t.close <= :'now'::timestamptz - n.delay AND (n.depth IS NULL OR t.open >= :'now'::timestamptz - n.depth)
        ORDER BY t.session DESC
        LIMIT :'per_instrument'
    ) AS o
    ORDER BY o.session DESC
    LIMIT :'per_instrument'
) AS s
LEFT JOIN ops.retry_schedule AS g
    ON g.instrument_id = i.instrument_id AND g.timeframe = :'timeframe' AND g.session = s.session
WHERE (g.next_try IS NULL OR g.next_try <= :'now'::timestamptz)
    AND (s.session <@ a.sessions OR (g.confirmed_at IS NULL AND NOT EXISTS (
        SELECT FROM ops.coverage AS c
        WHERE c.instrument_id = i.instrument_id AND c.timeframe = :'timeframe' AND c.session = s.session AND c.present > 0
    ) AND NOT EXISTS (
        SELECT FROM market.bars_1d AS b
        WHERE :'timeframe' = '1d' AND b.instrument_id = i.instrument_id AND b.ts = s.session::timestamp AT TIME ZONE 'UTC'
    )))
ORDER BY s.session DESC, i.instrument_id
LIMIT :'limit'
