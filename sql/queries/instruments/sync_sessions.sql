-- Brings the sessions of a calendar to those given, within their range. Sessions outside of it stay. Returns what changed, where any session
-- of the calendar was stored before: (session, open, close), of before and after the earlier open and the later close.
--
-- calendar, version: text; days: int4[], since 1970-01-01; opens, closes, break_starts, break_ends: int8[], microseconds since then; a break
-- that begins with the close is none; parallel arrays
WITH known AS MATERIALIZED (
    SELECT date '1970-01-01' + day AS session,
           timestamptz 'epoch' + open * interval '1 microsecond' AS open,
           timestamptz 'epoch' + close * interval '1 microsecond' AS close,
           CASE WHEN break_start < close THEN timestamptz 'epoch' + break_start * interval '1 microsecond' END AS break_start,
           CASE WHEN break_start < close THEN timestamptz 'epoch' + break_end * interval '1 microsecond' END AS break_end
    FROM unnest(:'days'::int4[], :'opens'::int8[], :'closes'::int8[], :'break_starts'::int8[], :'break_ends'::int8[])
        AS t (day, open, close, break_start, break_end)
),
stored AS MATERIALIZED (
    SELECT session, open, close, break_start, break_end FROM market.session WHERE calendar = :'calendar'
),
changed AS MATERIALIZED (
    SELECT session, s.session IS NOT NULL AND k.session IS NULL AS removed, least(k.open, s.open) AS first, greatest(k.close, s.close) AS last,
           k.open, k.close, k.break_start, k.break_end
    FROM (SELECT * FROM stored WHERE session BETWEEN (SELECT min(session) FROM known) AND (SELECT max(session) FROM known)) AS s
    FULL JOIN known AS k USING (session)
    WHERE (k.open, k.close, k.break_start, k.break_end) IS DISTINCT FROM (s.open, s.close, s.break_start, s.break_end)
),
deleted AS (
    DELETE FROM market.session AS s USING changed AS c
    WHERE s.calendar = :'calendar' AND s.session = c.session AND c.removed
),
put AS (
    INSERT INTO market.session AS s (calendar, session, open, close, break_start, break_end, version)
    SELECT :'calendar', session, open, close, break_start, break_end, :'version' FROM changed WHERE NOT removed
    ON CONFLICT (calendar, session) DO UPDATE
    SET open = excluded.open, close = excluded.close, break_start = excluded.break_start, break_end = excluded.break_end,
        version = excluded.version
)
SELECT session, first, last FROM changed WHERE EXISTS (SELECT FROM stored) ORDER BY session
