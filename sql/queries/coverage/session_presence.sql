-- Every session of an instrument's calendar between its first and its last bar, and whether anything of it is there. (1d and 1m.)
--
-- ids: int4[]; timeframe: '1d' or '1m'
WITH held AS (
    SELECT b.instrument_id, b.ts::date AS session
    FROM market.bars_1d AS b
    WHERE :'timeframe' = '1d' AND b.instrument_id = ANY(:'ids')
    UNION
    SELECT o.instrument_id, o.session
    FROM ops.coverage AS o
    WHERE o.timeframe = :'timeframe' AND o.present > 0 AND o.instrument_id = ANY(:'ids')
),
reach AS (
    SELECT instrument_id, min(session) AS first, max(session) AS last FROM held GROUP BY instrument_id
)
SELECT i.symbol, s.session, h.session IS NOT NULL AS present
FROM reach AS r
JOIN market.instrument AS i USING (instrument_id)
JOIN market.session AS s ON s.calendar = i.calendar AND s.session BETWEEN r.first AND r.last
        AND s.session >= coalesce(i.listed, '-infinity') AND s.session < coalesce(i.delisted, 'infinity')
LEFT JOIN held AS h ON h.instrument_id = r.instrument_id AND h.session = s.session
ORDER BY i.instrument_id, s.session
