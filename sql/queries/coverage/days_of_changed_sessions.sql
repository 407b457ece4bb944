-- The days of base bars from which something has to be derived anew, because sessions changed: (timeframe, instrument, day).
--
-- calendars: text[]; sessions: date[]; opens, closes: timestamptz[], the earliest and the latest of before and after; parallel arrays
WITH changed AS (
    SELECT i.instrument_id, c.session, c.open, c.close
    FROM unnest(:'calendars'::text[], :'sessions'::date[], :'opens'::timestamptz[], :'closes'::timestamptz[])
        AS c (calendar, session, open, close)
    JOIN market.instrument AS i USING (calendar)
)
-- Of days, any day of the week and of the month will do. Bars of a week or month may be in the window beside.
SELECT DISTINCT '1d', c.instrument_id, c.session
FROM changed AS c
JOIN ops.bar_window AS w ON w.timeframe = '1d' AND w.instrument_id = c.instrument_id
    AND w.start IN (date_trunc('year', c.session - 31)::date, date_trunc('year', c.session + 31)::date)
UNION
SELECT '1m', c.instrument_id, d.day::date
FROM changed AS c
CROSS JOIN generate_series(c.open::date::timestamp, (c.close - interval '1 microsecond')::date::timestamp, interval '1 day') AS d (day)
JOIN ops.bar_window AS w ON w.timeframe = '1m' AND w.instrument_id = c.instrument_id AND w.start = date_trunc('month', d.day)::date
