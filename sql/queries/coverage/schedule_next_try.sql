-- Records that sessions are about to be requested again, and when they may be the next time: the pause doubles with each launch.
--
-- ids: int4[]; sessions: date[]; parallel arrays; timeframe: '1m' or '1d'; now: timestamptz; first_pause, longest_pause: intervals
INSERT INTO ops.retry_schedule AS g (instrument_id, timeframe, session, next_try)
SELECT n.id, :'timeframe', n.session, :'now'::timestamptz + :'first_pause'::interval
FROM unnest(:'ids'::int4[], :'sessions'::date[]) AS n (id, session)
ON CONFLICT (instrument_id, timeframe, session) DO UPDATE
SET launches = g.launches + 1,
    next_try = :'now'::timestamptz
        + least(:'first_pause'::interval * 2 ^ least(g.launches, 16), :'longest_pause'::interval)
