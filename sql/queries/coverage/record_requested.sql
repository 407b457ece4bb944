-- Records which sessions were requested and answered, and which of them are final by it. What was final before stays so.
--
-- timeframe: '1m' or '1d'; now: timestamptz, from when on they are final; null for the server's clock
-- ids: int4[]; sessions, final: text[] of multiranges of dates; calendars: text[] of names and versions; parallel arrays
WITH new AS (
    SELECT id, sessions::datemultirange AS sessions, final::datemultirange AS final, calendar
    FROM unnest(:'ids'::int4[], :'sessions'::text[], :'final'::text[], :'calendars'::text[])
        AS n (id, sessions, final, calendar)
),
gained AS (
    INSERT INTO ops.finalized AS f (instrument_id, timeframe, final_at, sessions)
    SELECT n.id, :'timeframe', coalesce(:'now', clock_timestamp()), n.final - coalesce(a.final, '{}'::datemultirange)
    FROM new AS n
    LEFT JOIN ops.requested AS a ON a.instrument_id = n.id AND a.timeframe = :'timeframe'
    WHERE NOT isempty(n.final - coalesce(a.final, '{}'::datemultirange))
    ON CONFLICT (instrument_id, timeframe, final_at) DO UPDATE SET sessions = f.sessions + excluded.sessions
)
INSERT INTO ops.requested AS a (instrument_id, timeframe, sessions, final, calendar)
SELECT id, :'timeframe', sessions, final, calendar FROM new
ON CONFLICT (instrument_id, timeframe) DO UPDATE
SET sessions = a.sessions + excluded.sessions, final = a.final + excluded.final, calendar = excluded.calendar
