-- Brings the sessions of a calendar to those given, within their range. Sessions outside of it stay.
--
-- calendar, version: text; days: int4[], since 1970-01-01; opens, closes, break_starts, break_ends: int8[], microseconds since then; a break
-- that begins with the close is none; parallel arrays
WITH known AS MATERIALIZED (
    SELECT n.calendar, n.version, date '1970-01-01' + day AS session,
           timestamptz 'epoch' + open * interval '1 microsecond' AS open,
           timestamptz 'epoch' + close * interval '1 microsecond' AS close,
           CASE WHEN break_start < close THEN timestamptz 'epoch' + break_start * interval '1 microsecond' END AS break_start,
           CASE WHEN break_start < close THEN timestamptz 'epoch' + break_end * interval '1 microsecond' END AS break_end
    FROM (VALUES (:'calendar', :'version')) AS n (calendar, version),
         unnest(:'days'::int4[], :'opens'::int8[], :'closes'::int8[], :'break_starts'::int8[], :'break_ends'::int8[])
             AS t (day, open, close, break_start, break_end)
),
deleted AS (
    DELETE FROM market.session AS s
    USING (SELECT calendar, min(session), max(session) FROM known GROUP BY 1) AS reach
    WHERE s.calendar = reach.calendar AND s.session BETWEEN reach.min AND reach.max
        AND NOT EXISTS (SELECT FROM known AS k WHERE k.session = s.session)
)
INSERT INTO market.session AS s (calendar, session, open, close, break_start, break_end, version)
SELECT k.calendar, k.session, k.open, k.close, k.break_start, k.break_end, k.version
FROM known AS k
LEFT JOIN market.session AS s USING (calendar, session)
WHERE (k.open, k.close, k.break_start, k.break_end) IS DISTINCT FROM (s.open, s.close, s.break_start, s.break_end)
ON CONFLICT (calendar, session) DO UPDATE
SET open = excluded.open, close = excluded.close, break_start = excluded.break_start, break_end = excluded.break_end,
    version = excluded.version
