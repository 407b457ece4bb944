-- What is there of each session, and why what is missing is missing. One row per instrument and session that began, ascending.
--
-- ids: int4[]; timeframe: '1m' or '1d'; since, until: dates, [since, until); now: timestamptz
-- gap: a run of so many empty slots is too long to be thin trading, whatever is usual for the instrument
WITH asked AS (
    SELECT a.instrument_id, a.sessions, a.final
    FROM ops.asked AS a
    WHERE a.timeframe = {timeframe} AND a.instrument_id = ANY({ids})
),
-- Thin trading leaves holes of about one length; what is three times as long is something else.
usual AS (
    SELECT c.instrument_id,
           greatest({gap}, 3 * percentile_cont(0.5) WITHIN GROUP (ORDER BY c.hole_slots)) AS slots
    FROM ops.coverage AS c
    WHERE c.timeframe = '1m' AND {timeframe} = '1m' AND c.present > 0 AND c.instrument_id = ANY({ids})
    GROUP BY c.instrument_id
),
held AS (
    SELECT c.instrument_id, c.session, c.present, c.first_ts, c.last_ts, c.hole_start, c.hole_slots
    FROM ops.coverage AS c
    WHERE c.timeframe = {timeframe} AND c.instrument_id = ANY({ids}) AND c.session >= {since} AND c.session < {until}
    UNION ALL
    SELECT b.instrument_id, b.ts::date, 1, b.ts, b.ts, NULL, 0
    FROM market.bars_1d AS b
    WHERE {timeframe} = '1d' AND b.instrument_id = ANY({ids}) AND b.ts >= {since} AND b.ts < {until}
        AND NOT EXISTS (
            SELECT FROM ops.coverage AS c
            WHERE c.timeframe = '1d' AND c.instrument_id = b.instrument_id AND c.session = b.ts::date
        )
),
measured AS (
    SELECT i.instrument_id, i.symbol, s.session, s.open, s.close, i.listed, i.delisted,
           CASE WHEN {timeframe} = '1d' THEN 1 ELSE (extract(epoch FROM s.close - s.open) / 60)::int END AS expected,
           coalesce(h.present, 0) AS present, h.first_ts, h.last_ts, h.hole_start, h.hole_slots,
           coalesce(s.session <@ a.sessions, false) AS asked, coalesce(s.session <@ a.final, false) AS final,
           s.calendar || ' ' || s.version AS calendar, coalesce(u.slots, {gap}) AS usual
    FROM market.instrument AS i
    JOIN market.session AS s
        ON s.calendar = i.calendar AND s.session >= {since} AND s.session < {until} AND s.open < {now}
    LEFT JOIN asked AS a ON a.instrument_id = i.instrument_id
    LEFT JOIN usual AS u ON u.instrument_id = i.instrument_id
    LEFT JOIN held AS h ON h.instrument_id = i.instrument_id AND h.session = s.session
    WHERE i.instrument_id = ANY({ids})
)
SELECT m.instrument_id, m.symbol, m.session, m.open, m.close, m.expected, m.present, m.first_ts, m.last_ts, m.hole_start,
       m.hole_slots, m.asked, m.final, m.calendar, coalesce(g.tries, 0) AS tries, g.next_try,
       CASE
           WHEN m.session < m.listed OR m.session >= m.delisted THEN 'not_listed'
           WHEN m.close > {now} THEN CASE WHEN m.asked OR m.present > 0 THEN 'not_final' ELSE 'never_fetched' END
           WHEN m.present >= m.expected THEN 'complete'
           WHEN NOT m.asked THEN CASE WHEN m.present > 0 THEN 'partial' ELSE 'never_fetched' END
           WHEN NOT m.final THEN 'not_final'
           WHEN EXISTS (
               SELECT FROM market.halt AS x
               WHERE x.instrument_id = m.instrument_id AND x.start_ts < m.close AND x.end_ts > m.open
                   AND x.start_ts <= CASE WHEN m.present = 0 THEN m.open ELSE m.hole_start END
                   AND x.end_ts >= CASE WHEN m.present = 0 THEN m.close
                                        ELSE m.hole_start + m.hole_slots * interval '1 minute' END
           ) THEN 'halted'
           WHEN g.confirmed_at IS NOT NULL THEN 'no_trades'
           WHEN m.present = 0 THEN 'provider_gap'
           WHEN m.hole_slots IS NULL THEN 'partial'
           WHEN m.hole_slots > m.usual THEN 'provider_gap'
           ELSE 'no_trades'
       END AS state
FROM measured AS m
LEFT JOIN ops.gap AS g
    ON g.instrument_id = m.instrument_id AND g.timeframe = {timeframe} AND g.session = m.session
