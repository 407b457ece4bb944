-- Sessions of minutes whose longest missing run has to be measured: bars came in several batches, or a halt or other hours became known
-- since. (Other runs were measured while the bars were published.) None that is in the lake, in part or whole.
--
-- ids: int4[]; since, until: dates, [since, until)
WITH halts AS (
    SELECT instrument_id,
           range_agg(tstzrange(date_trunc('minute', start_ts), date_trunc('minute', end_ts + interval '59.999999 s'))) AS halted
    FROM market.halt
    WHERE instrument_id = ANY(:'ids')
    GROUP BY instrument_id
),
known AS (
    SELECT calendar, session, open, close, coalesce(break_start, close) AS break_start, coalesce(break_end, close) AS break_end,
           (extract(epoch FROM close - open - coalesce(break_end - break_start, '0')) / 60)::int AS expected
    FROM market.session
    WHERE session >= :'since' AND session < :'until'
),
-- FULL JOIN, of which only what both have is taken, is never a nested loop: see coverage_of_days.
counted AS MATERIALIZED (
    SELECT c.instrument_id, session, s.open, s.close, s.break_start, s.break_end, s.expected,
           c.present, c.first_ts, c.last_ts, c.missing_start, c.missing_slots, c.by_hour
    FROM (
        SELECT o.*, i.calendar
        FROM ops.coverage AS o
        JOIN market.instrument AS i USING (instrument_id)
        WHERE o.timeframe = '1m' AND o.instrument_id = ANY(:'ids') AND o.session >= :'since' AND o.session < :'until'
    ) AS c
    FULL JOIN known AS s USING (calendar, session)
),
odd AS MATERIALIZED (
    SELECT c.instrument_id, c.session, c.open, c.close
    FROM counted AS c
    LEFT JOIN halts AS h USING (instrument_id)
    WHERE c.instrument_id IS NOT NULL AND c.open IS NOT NULL
        AND (
            (c.missing_slots IS NULL AND c.present <> c.expected)
            OR c.by_hour IS NULL AND c.missing_slots > 0 AND c.present > 0
            OR c.present + c.missing_slots > c.expected
            OR c.missing_start < c.open
            OR c.missing_start + c.missing_slots * interval '1 minute' > c.close
            OR c.missing_start < c.break_end AND c.missing_start + c.missing_slots * interval '1 minute' > c.break_start
            OR (
                (c.missing_slots = 0 AND c.present < c.expected
                 OR least(c.first_ts, c.break_start) - c.open > c.missing_slots * interval '1 minute'
                 OR c.first_ts - c.break_end > c.missing_slots * interval '1 minute'
                 OR c.close - greatest(c.last_ts, c.break_end - interval '1 minute') > (c.missing_slots + 1) * interval '1 minute'
                 OR c.break_start - c.last_ts > (c.missing_slots + 1) * interval '1 minute')
                AND c.present > 0 AND c.present < c.expected AND NOT coalesce(h.halted && tstzrange(c.open, c.close), false)
            )
            OR (c.missing_slots > 0 AND h.halted && tstzrange(c.missing_start, c.missing_start + c.missing_slots * interval '1 minute'))
        )
)
SELECT o.instrument_id, o.session
FROM odd AS o
WHERE NOT EXISTS (
    SELECT FROM ops.bar_window AS w
    WHERE w.timeframe = '1m' AND w.instrument_id = o.instrument_id AND w.cold
        AND w.start IN (date_trunc('month', o.open, 'UTC')::date, date_trunc('month', o.close - interval '1 minute', 'UTC')::date)
)
ORDER BY o.instrument_id, o.session
