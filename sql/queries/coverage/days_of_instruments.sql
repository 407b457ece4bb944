-- The days of base bars from which everything has to be derived anew, of instruments whose calendar is another: (timeframe, instrument, day).
--
-- ids: int4[]
-- Of days, one of each week and of each month will do.
SELECT DISTINCT '1d', w.instrument_id, d.day::date
FROM ops.bar_window AS w
CROSS JOIN generate_series(w.start - 6::int, w.start + interval '1 year' - interval '1 day', interval '1 day') AS d (day)
WHERE w.timeframe = '1d' AND w.instrument_id = ANY(:'ids'::int4[])
    AND (extract(isodow FROM d.day) = 1 OR extract(day FROM d.day) = 1)
UNION
SELECT '1m', w.instrument_id, d.day::date
FROM ops.bar_window AS w
CROSS JOIN generate_series(w.start::timestamp, w.start + interval '1 month' - interval '1 day', interval '1 day') AS d (day)
WHERE w.timeframe = '1m' AND w.instrument_id = ANY(:'ids'::int4[])
