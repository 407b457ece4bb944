-- What is stored of each session, and why the rest is missing. One row for each instrument and session that began.
--
-- ids: int4[]; timeframe: '1m' or '1d'; since, until: dates, [since, until); now: timestamptz
-- long_run: a missing run is too long for thin trading if more than so many bars would have come in it. How many would have, other sessions
--     of the weeks around tell, by the same time since the open. Where they do not, because they are few or have no bar then either (an
--     outage is no proof of an empty market), a run of a quarter of the session is too long, and a shorter one by the rate of the rest.
--     The longest run is weighed, and every whole hour without a bar: a quiet night is longer than an outage at noon, and hides it
--
-- A day that was rolled up from minutes is in state 'derived', of which states_of_days makes that of the minutes. Where a provider is to give
-- the day, it is in the state that it has without the bar: what is missing is the provider's.
WITH begun AS MATERIALIZED (
    SELECT s.calendar, s.session, s.open, s.close, s.break_start, s.break_end, s.calendar || ' ' || s.version AS version, s.close > :'now'::timestamptz AS under_way,
           CASE WHEN :'timeframe' = '1d' THEN 1
                ELSE (extract(epoch FROM s.close - s.open - coalesce(s.break_end - s.break_start, '0')) / 60)::int END AS expected
    FROM market.session AS s
    WHERE s.session >= :'since' AND s.session < :'until' AND s.open < :'now'::timestamptz
),
-- The minutes that were halted, of each session of which any was. One that was halted in part lacks nothing.
halts AS (
    SELECT i.instrument_id, s.session,
           range_agg(tstzrange(date_trunc('minute', x.start_ts), date_trunc('minute', x.end_ts + interval '59.999999 s')))
           * tstzmultirange(tstzrange(s.open, s.close)) AS halted
    FROM market.halt AS x
    JOIN market.instrument AS i USING (instrument_id)
    JOIN begun AS s ON s.calendar = i.calendar AND x.start_ts < s.close AND x.end_ts > s.open
    WHERE x.instrument_id = ANY(:'ids')
    GROUP BY i.instrument_id, s.session, s.open, s.close
),
-- What the gate rejected, and neither a person nor a later answer settled.
rejected AS (
    SELECT instrument_id, range_agg(sessions - replaced) AS waiting
    FROM ops.quarantine
    WHERE timeframe = :'timeframe' AND released_at IS NULL AND instrument_id = ANY(:'ids')
    GROUP BY instrument_id
),
measured AS (
    SELECT i.instrument_id, i.symbol, s.session, s.open, s.close,
           CASE WHEN s.break_start IS NULL THEN '{}' ELSE tstzmultirange(tstzrange(s.break_start, s.break_end)) END AS break, s.expected, s.under_way, s.version,
           coalesce(s.session < i.listed, false) OR coalesce(s.session >= i.delisted, false) AS unlisted,
           coalesce(s.present, 0) AS present, CASE WHEN s.derived THEN 0 ELSE coalesce(s.present, 0) END AS provided,
           s.derived AND NOT coalesce(s.session >= lower(a.sessions) AND (s.session < upper(a.sessions) OR '1d' = ANY(i.timeframes)), false)
               AS fills, s.derived, s.first_ts, s.last_ts,
           s.by_hour,
           CASE WHEN :'timeframe' = '1d' THEN NULL WHEN coalesce(s.present, 0) = 0 THEN s.open ELSE s.missing_start END AS missing_start,
           CASE WHEN :'timeframe' = '1d' OR coalesce(s.present, 0) = 0 THEN s.expected - coalesce(s.present, 0)
                WHEN s.present >= s.expected THEN 0
                ELSE s.missing_slots END AS missing_slots,
           coalesce(s.session <@ a.sessions, false) AS requested, coalesce(s.session <@ a.final, false) AS final
    FROM market.instrument AS i
    LEFT JOIN ops.requested AS a ON a.instrument_id = i.instrument_id AND a.timeframe = :'timeframe'
    -- Instrument by instrument, because to sort everything takes longer: hence OFFSET 0. FULL JOIN, though each row of h has its row of b:
    -- it is never a nested loop, which a server without statistics takes for LEFT JOIN, and compares every session with every bar.
    CROSS JOIN LATERAL (
        SELECT b.*, h.present, h.first_ts, h.last_ts, h.missing_start, h.missing_slots, h.by_hour, coalesce(h.derived, false) AS derived
        FROM (SELECT * FROM begun WHERE calendar = i.calendar) AS b
        FULL JOIN (
            SELECT c.session, c.present, c.first_ts, c.last_ts, c.missing_start, c.missing_slots, c.by_hour, c.derived
            FROM ops.coverage AS c
            WHERE c.timeframe = :'timeframe' AND c.instrument_id = i.instrument_id AND c.session >= :'since' AND c.session < :'until'
            UNION ALL
            -- A bar of a day is its own coverage, until it leaves the store.
            SELECT d.ts::date, 1, d.ts, d.ts, NULL, 0, NULL, d.source IN (SELECT source_id FROM market.source WHERE starts_with(name, 'derived:'))
            FROM market.bars_1d AS d
            WHERE :'timeframe' = '1d' AND d.instrument_id = i.instrument_id AND d.ts >= :'since' AND d.ts < :'until'
                AND NOT EXISTS (
                    SELECT FROM ops.coverage AS c
                    WHERE c.timeframe = '1d' AND c.instrument_id = i.instrument_id AND c.session = d.ts::date
                )
        ) AS h USING (session)
        WHERE coalesce(b.calendar, '') <> ''
        OFFSET 0
    ) AS s
    WHERE i.instrument_id = ANY(:'ids')
),
-- Of a session that left the store before other hours of it became known, or a halt, the missing run stays as it was measured.
explained AS (
    SELECT m.*, x.halted, coalesce(m.session <@ r.waiting, false) AS rejected,
           CASE WHEN m.missing_start IS NULL OR (x.halted IS NULL AND isempty(m.break) AND m.missing_start >= m.open
                                              AND m.missing_start + m.missing_slots * interval '1 minute' <= m.close)
                THEN m.missing_slots
                ELSE coalesce((
                    SELECT max(extract(epoch FROM upper(r) - lower(r)) / 60)::int
                    FROM unnest(
                        tstzmultirange(tstzrange(m.missing_start, m.missing_start + m.missing_slots * interval '1 minute'))
                        * tstzmultirange(tstzrange(m.open, m.close)) - m.break - coalesce(x.halted, '{}')
                    ) AS r
                ), 0) END AS unexplained
    FROM measured AS m
    LEFT JOIN halts AS x USING (instrument_id, session)
    LEFT JOIN rejected AS r USING (instrument_id)
    OFFSET 0
),
-- Whether the missing run is too long for thin trading; null where it is not known how long it is.
weighed AS (
    SELECT e.*,
           CASE WHEN empty.hour THEN true
                WHEN e.unexplained <= :'long_run' THEN false
                WHEN u.others >= 5 AND u.bars >= 5 THEN u.bars > :'long_run' * u.others
                WHEN e.unexplained * 4 > e.expected THEN true
                WHEN u.bars > 0 THEN u.bars > :'long_run' * u.others
                ELSE e.unexplained * e.present > :'long_run' * (e.expected - e.unexplained) END AS gap
    FROM explained AS e
    -- How many bars came in the same hours of other sessions. Only where that may decide: not where no hour has many. It stands inside, because
    -- behind ON it would be looked at after they were counted.
    LEFT JOIN LATERAL (
        SELECT count(*) AS others, sum(b.bars) AS bars
        FROM (
            SELECT extract(epoch FROM e.missing_start - e.open) / 3600 AS since,
                   extract(epoch FROM e.missing_start - e.open) / 3600 + e.missing_slots / 60.0 AS until
        ) AS r
        CROSS JOIN market.instrument AS i
        JOIN ops.coverage AS c ON c.instrument_id = e.instrument_id AND c.timeframe = '1m' AND c.present > 0
            AND c.session BETWEEN e.session - 14 AND e.session + 14 AND c.session <> e.session
        JOIN market.session AS s ON s.calendar = i.calendar AND s.session = c.session
        CROSS JOIN LATERAL (
            SELECT sum(CASE WHEN c.by_hour IS NULL THEN 60 ELSE coalesce(c.by_hour[h + 1], 0) END
                       * (least(r.until, h + 1) - greatest(r.since, h))) AS bars
            FROM generate_series(floor(r.since)::int, ceil(r.until)::int - 1) AS h
        ) AS b
        WHERE i.instrument_id = e.instrument_id AND (c.by_hour IS NOT NULL OR c.present >= extract(epoch FROM s.close - s.open
                - coalesce(s.break_end - s.break_start, '0')) / 60)
            AND e.present > 0 AND e.unexplained > :'long_run' AND (
                e.unexplained * e.present > :'long_run' * (e.expected - e.unexplained) OR e.unexplained * 4 > e.expected
                OR :'long_run' < ANY(e.by_hour)
            )
    ) AS u ON true
    -- Whether any whole hour without a bar has many in other sessions; none that was halted in part, or has a part of a break.
    LEFT JOIN LATERAL (
        SELECT true AS hour
        FROM generate_subscripts(e.by_hour, 1) AS h
        CROSS JOIN market.instrument AS i
        JOIN ops.coverage AS c ON c.instrument_id = e.instrument_id AND c.timeframe = '1m' AND c.present > 0
            AND c.session BETWEEN e.session - 14 AND e.session + 14 AND c.session <> e.session
        JOIN market.session AS s ON s.calendar = i.calendar AND s.session = c.session
        WHERE i.instrument_id = e.instrument_id AND e.by_hour[h] = 0 AND e.present > 0 AND e.unexplained > :'long_run' AND 0 = ANY(e.by_hour)
            AND e.open + h * interval '1 hour' <= e.close
            AND NOT (coalesce(e.halted, '{}') + e.break) && tstzrange(e.open + (h - 1) * interval '1 hour', e.open + h * interval '1 hour')
            AND (c.by_hour IS NOT NULL OR c.present >= extract(epoch FROM s.close - s.open - coalesce(s.break_end - s.break_start, '0')) / 60)
        GROUP BY h
        HAVING count(*) >= 5 AND sum(CASE WHEN c.by_hour IS NULL THEN 60 ELSE coalesce(c.by_hour[h], 0) END) > :'long_run' * count(*)
        LIMIT 1
    ) AS empty ON true
)
SELECT e.instrument_id, e.symbol, e.session, e.open, e.close, e.expected, e.present, e.first_ts, e.last_ts,
       CASE WHEN e.missing_slots > 0 THEN e.missing_start END AS missing_start, e.missing_slots,
       e.requested, e.final, e.version AS calendar, coalesce(g.tries, 0) AS tries, g.next_try,
       g.confirmed_at IS NOT NULL AS confirmed,
       CASE
           WHEN e.unlisted THEN 'not_listed'
           WHEN e.under_way THEN CASE WHEN e.requested OR e.present > 0 THEN 'not_final' ELSE 'never_fetched' END
           -- Before what is complete: the bar of a day that was requested at noon is there, and is not the bar of the whole day.
           WHEN e.requested AND NOT e.final THEN 'not_final'
           WHEN e.fills OR e.derived AND g.confirmed_at IS NOT NULL THEN 'derived'
           WHEN e.provided >= e.expected THEN 'complete'
           WHEN e.rejected THEN 'quarantined'
           WHEN e.provided = 0 AND (e.halted + e.break) @> tstzrange(e.open, e.close) THEN 'halted'
           WHEN NOT e.requested THEN CASE WHEN e.provided > 0 THEN 'partial' ELSE 'never_fetched' END
           WHEN e.present > 0 AND e.halted IS NOT NULL AND NOT e.gap THEN 'halted'
           WHEN g.confirmed_at IS NOT NULL THEN 'no_trades'
           WHEN e.provided = 0 THEN 'provider_gap'
           WHEN e.unexplained IS NULL THEN 'partial'
           WHEN e.gap THEN 'provider_gap'
           ELSE 'no_trades'
       END AS state
FROM weighed AS e
LEFT JOIN ops.retry_schedule AS g
    ON g.instrument_id = e.instrument_id AND g.timeframe = :'timeframe' AND g.session = e.session
