-- Measures the longest run of minutes of each session that have no bar and were neither halted nor in its break, and counts its bars
-- again, in all and by the hour, because the calendar may have changed. Whoever calls this has locked the sessions' rows of ops.coverage, so that no bar comes in between.
--
-- ids, sessions: which; parallel arrays
WITH todo AS (
    SELECT n.instrument_id, n.session, s.open, s.close, s.break_start, s.break_end
    FROM unnest(:'ids'::int4[], :'sessions'::date[]) AS n (instrument_id, session)
    JOIN market.instrument AS i USING (instrument_id)
    JOIN market.session AS s ON s.calendar = i.calendar AND s.session = n.session
),
-- A stretch of the session that has a bar, or that is not missing for another reason.
taken AS (
    SELECT t.instrument_id, t.session, t.open, b.is_bar, b.since, b.until
    FROM todo AS t
    CROSS JOIN LATERAL (
        SELECT true AS is_bar, m.ts AS since, m.ts + interval '1 minute' AS until
        FROM market.bars_1m AS m
        WHERE m.instrument_id = t.instrument_id AND m.ts >= t.open AND m.ts < t.close
            AND (m.ts >= t.break_start AND m.ts < t.break_end) IS NOT TRUE
        UNION ALL
        SELECT false, greatest(date_trunc('minute', x.start_ts), t.open),
               least(date_trunc('minute', x.end_ts + interval '59.999999 s'), t.close)
        FROM market.halt AS x
        WHERE x.instrument_id = t.instrument_id AND x.start_ts < t.close AND x.end_ts > t.open
        UNION ALL
        SELECT false, t.break_start, t.break_end WHERE t.break_start IS NOT NULL
        UNION ALL
        SELECT false, t.close, t.close
    ) AS b
),
runs AS (
    SELECT instrument_id, session, is_bar, since,
           coalesce(max(until) OVER (
               PARTITION BY instrument_id, session ORDER BY since, until ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
           ), open) AS free
    FROM taken
),
sized AS (
    SELECT instrument_id, session, is_bar, free, greatest((extract(epoch FROM since - free) / 60)::int, 0) AS slots
    FROM runs
),
longest AS (
    SELECT instrument_id, session, count(*) FILTER (WHERE is_bar) AS present, max(slots) AS slots,
           (array_agg(free ORDER BY slots DESC, free))[1] AS start
    FROM sized
    GROUP BY instrument_id, session
),
hourly AS (
    SELECT instrument_id, session, least(floor(extract(epoch FROM since - open) / 3600)::int, 23) AS hour, count(*)::int2 AS bars
    FROM taken
    WHERE is_bar
    GROUP BY 1, 2, 3
),
by_hour AS (
    SELECT t.instrument_id, t.session, array_agg(coalesce(h.bars, 0::int2) ORDER BY g.hour) AS bars
    FROM todo AS t
    CROSS JOIN LATERAL generate_series(0, least(ceil(extract(epoch FROM t.close - t.open) / 3600)::int, 24) - 1) AS g (hour)
    LEFT JOIN hourly AS h ON h.instrument_id = t.instrument_id AND h.session = t.session AND h.hour = g.hour
    GROUP BY t.instrument_id, t.session
)
UPDATE ops.coverage AS c
SET missing_slots = r.slots, missing_start = CASE WHEN r.slots > 0 THEN r.start END,
    present = r.present, outside = c.present + c.outside - r.present, by_hour = CASE WHEN r.slots > 0 THEN h.bars END
FROM longest AS r
JOIN by_hour AS h USING (instrument_id, session)
WHERE c.instrument_id = r.instrument_id AND c.timeframe = '1m' AND c.session = r.session
