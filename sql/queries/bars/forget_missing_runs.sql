-- Forgets the longest missing run of each session of minutes that overlaps [start, end), so that it is measured again. Sessions whose bars
-- are in the lake keep theirs.
--
-- instrument_id; start, end: timestamptz
UPDATE ops.coverage AS c
SET missing_start = NULL, missing_slots = NULL, by_hour = NULL
FROM market.instrument AS i
JOIN market.session AS s USING (calendar)
WHERE i.instrument_id = :'instrument_id' AND s.open < :'end' AND s.close > :'start'
    AND c.instrument_id = i.instrument_id AND c.timeframe = '1m' AND c.session = s.session
    AND NOT EXISTS (
        SELECT FROM ops.bar_window AS w
        WHERE w.timeframe = '1m' AND w.instrument_id = i.instrument_id AND w.cold
            AND w.start IN (date_trunc('month', s.open, 'UTC')::date, date_trunc('month', s.close - interval '1 minute', 'UTC')::date)
    )
