-- Coverage of bars of a day, per instrument: what is there, and how many sessions there should be between the first and the last.
--
-- ids: int4[]; only sessions of the instrument's own calendar are expected
SELECT i.instrument_id, b.rows, b.first_ts, b.last_ts, b.sources,
       count(s.session) AS expected,
       count(s.session) FILTER (WHERE EXISTS (
           SELECT FROM market.bars_1d AS d WHERE d.instrument_id = i.instrument_id AND d.ts = s.session::timestamptz
       )) AS present
FROM market.instrument AS i
JOIN LATERAL (
    SELECT count(*) AS rows, min(d.ts) AS first_ts, max(d.ts) AS last_ts, array_agg(DISTINCT n.name) AS sources
    FROM market.bars_1d AS d
    JOIN market.source AS n ON n.source_id = d.source
    WHERE d.instrument_id = i.instrument_id
) AS b ON b.rows > 0
LEFT JOIN market.session AS s
    ON s.calendar = i.calendar AND s.session BETWEEN b.first_ts::date AND b.last_ts::date
WHERE i.instrument_id = ANY({ids})
GROUP BY i.instrument_id, b.rows, b.first_ts, b.last_ts, b.sources
ORDER BY i.instrument_id
