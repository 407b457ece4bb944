-- Brings the sessions of a calendar to those given, within their range. Sessions outside of it stay.
--
-- calendar, version: text; days: int4[], since 1970-01-01; opens, closes: int8[], microseconds since then; parallel arrays
WITH known AS MATERIALIZED (
    SELECT n.calendar, n.version, date '1970-01-01' + day AS session,
           timestamptz 'epoch' + open * interval '1 microsecond' AS open,
           timestamptz 'epoch' + close * interval '1 microsecond' AS close
    FROM (VALUES (:'calendar', :'version')) AS n (calendar, version),
         unnest(:'days'::int4[], :'opens'::int8[], :'closes'::int8[]) AS t (day, open, close)
),
deleted AS (
    DELETE FROM market.session AS s
    USING (SELECT calendar, min(session), max(session) FROM known GROUP BY 1) AS reach
    WHERE s.calendar = reach.calendar AND s.session BETWEEN reach.min AND reach.max
        AND NOT EXISTS (SELECT FROM known AS k WHERE k.session = s.session)
)
INSERT INTO market.session AS s (calendar, session, open, close, version)
SELECT calendar, session, open, close, version FROM known
EXCEPT ALL
SELECT k.calendar, k.session, k.open, k.close, k.version
FROM known AS k JOIN market.session AS s USING (calendar, session, open, close)
ON CONFLICT (calendar, session) DO UPDATE
SET open = excluded.open, close = excluded.close, version = excluded.version
