-- Which lake belongs to the database; and which sessions were requested before that was recorded. Safe to run again.

CREATE TABLE IF NOT EXISTS ops.lake (
    is_only  boolean     PRIMARY KEY DEFAULT true CHECK (is_only),
    lake_id  uuid        NOT NULL,
    root     text        NOT NULL,
    marked   boolean     NOT NULL DEFAULT false,
    found_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE ops.lake IS 'the one lake that holds the files of the manifest';
COMMENT ON COLUMN ops.lake.lake_id IS 'which the file lake.json of that lake holds too';
COMMENT ON COLUMN ops.lake.root IS 'where it was when it was found first, for a person';
COMMENT ON COLUMN ops.lake.marked IS 'whether that file was written';

-- Until 0004 nobody noted what was requested. A window that was published before the first such note had been requested from its
-- first session with a bar to its last: what is missing between is the provider's, and is not just unknown.
WITH noted AS (
    SELECT coalesce(min(final_at), 'infinity') AS since FROM ops.finalized
),
present AS (
    SELECT timeframe, instrument_id, session FROM ops.coverage WHERE timeframe = '1m'
    UNION ALL
    SELECT '1d', instrument_id, ts::date FROM market.bars_1d
),
earlier AS (
    SELECT w.timeframe, w.instrument_id, i.calendar, w.changed_at,
           datemultirange(daterange(min(p.session), max(p.session), '[]')) AS sessions
    FROM ops.bar_window AS w
    JOIN noted AS n ON w.changed_at < n.since
    CROSS JOIN LATERAL (
        SELECT w.start + CASE w.timeframe WHEN '1m' THEN interval '1 month' ELSE interval '1 year' END AS until
    ) AS u
    LEFT JOIN ops.requested AS a ON a.instrument_id = w.instrument_id AND a.timeframe = w.timeframe
        AND a.sessions && daterange(w.start, u.until::date)
    JOIN market.instrument AS i ON i.instrument_id = w.instrument_id
    JOIN present AS p ON p.timeframe = w.timeframe AND p.instrument_id = w.instrument_id AND p.session >= w.start
        AND p.session < u.until
    WHERE a.instrument_id IS NULL
    GROUP BY w.timeframe, w.instrument_id, i.calendar, w.changed_at, w.start
),
-- Sessions of an earlier date than the publication's had closed by then.
requested AS (
    SELECT timeframe, instrument_id, calendar, range_agg(sessions) AS sessions,
           range_agg(sessions * datemultirange(daterange(NULL, (changed_at AT TIME ZONE 'UTC')::date))) AS final,
           max(changed_at) AS changed_at
    FROM earlier
    GROUP BY timeframe, instrument_id, calendar
),
finalized AS (
    INSERT INTO ops.finalized (instrument_id, timeframe, final_at, sessions)
    SELECT instrument_id, timeframe, changed_at, final FROM requested WHERE NOT isempty(final)
    ON CONFLICT DO NOTHING
)
INSERT INTO ops.requested AS a (instrument_id, timeframe, sessions, final, calendar)
SELECT r.instrument_id, r.timeframe, r.sessions, r.final,
       r.calendar || ' ' || coalesce((SELECT max(s.version) FROM market.session AS s WHERE s.calendar = r.calendar), '')
FROM requested AS r
ON CONFLICT (instrument_id, timeframe) DO UPDATE
SET sessions = a.sessions + excluded.sessions, final = a.final + excluded.final;
