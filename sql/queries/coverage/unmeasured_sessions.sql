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
odd AS MATERIALIZED (
    SELECT c.instrument_id, c.session, s.open, s.close
    FROM ops.coverage AS c
    JOIN market.instrument AS i USING (instrument_id)
    JOIN known AS s ON s.calendar = i.calendar AND s.session = c.session
    LEFT JOIN halts AS h USING (instrument_id)
    WHERE c.timeframe = '1m' AND c.instrument_id = ANY(:'ids') AND c.session >= :'since' AND c.session < :'until'
        AND (
            (c.missing_slots IS NULL AND c.present <> s.expected)
            OR c.by_hour IS NULL AND c.missing_slots > 0 AND c.present > 0
            OR c.present + c.missing_slots > s.expected
            OR c.missing_start < s.open
            OR c.missing_start + c.missing_slots * interval '1 minute' > s.close
            OR c.missing_start < s.break_end AND c.missing_start + c.missing_slots * interval '1 minute' > s.break_start
            OR (
                (c.missing_slots = 0 AND c.present < s.expected
                 OR least(c.first_ts, s.break_start) - s.open > c.missing_slots * interval '1 minute'
                 OR c.first_ts - s.break_end > c.missing_slots * interval '1 minute'
                 OR s.close - greatest(c.last_ts, s.break_end - interval '1 minute') > (c.missing_slots + 1) * interval '1 minute'
                 OR s.break_start - c.last_ts > (c.missing_slots + 1) * interval '1 minute')
                AND c.present > 0 AND c.present < s.expected AND NOT coalesce(h.halted && tstzrange(s.open, s.close), false)
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
