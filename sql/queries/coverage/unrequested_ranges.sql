-- The ranges of days in which sessions should be requested by the schedules, as numbers since 1970-01-01, [first, after). Of instruments whose
-- missing sessions repair requests, that is whatever comes after the last session that was requested; of others, also what lies between the
-- first and the last and is not final. Instruments of which nothing was ever requested are left out.
--
-- ids: int4[]; repaired: bool[], whether repair looks after it; parallel arrays; timeframe: '1m' or '1d'; until: date, exclusive
SELECT n.id, lower(r.days) - date '1970-01-01', upper(r.days) - date '1970-01-01'
FROM unnest(:'ids'::int4[], :'repaired'::bool[]) AS n (id, repaired)
JOIN ops.requested AS a ON a.instrument_id = n.id AND a.timeframe = :'timeframe' AND NOT isempty(a.sessions)
CROSS JOIN LATERAL (SELECT CASE WHEN n.repaired THEN upper(a.sessions) ELSE lower(a.sessions) END AS first) AS f
CROSS JOIN LATERAL unnest(
    datemultirange(daterange(f.first, greatest(f.first, :'until'::date)))
    - CASE WHEN n.repaired THEN '{}'::datemultirange ELSE a.final END
) AS r (days)
