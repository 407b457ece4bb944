-- Every session of an instrument's calendar that is expected, and whether anything of it is there. (1d and 1m.)
--
-- ids: int4[]; firsts, lasts: date[], the sessions of each, both inclusive; parallel arrays. Expected are those that closed by closed_by:
-- timestamptz, and those under way of which there is a bar; timeframe: '1d' or '1m'
WITH held AS (
    SELECT b.instrument_id, b.ts::date AS session
    FROM market.bars_1d AS b
    WHERE :'timeframe' = '1d' AND b.instrument_id = ANY(:'ids')
    UNION
    SELECT o.instrument_id, o.session
    FROM ops.coverage AS o
    WHERE o.timeframe = :'timeframe' AND o.present > 0 AND o.instrument_id = ANY(:'ids')
)
SELECT i.symbol, s.session, h.session IS NOT NULL AS present
FROM unnest(:'ids'::int4[], :'firsts'::date[], :'lasts'::date[]) AS k (instrument_id, first, last)
JOIN market.instrument AS i USING (instrument_id)
JOIN market.session AS s ON s.calendar = i.calendar AND s.session BETWEEN k.first AND k.last AND s.open <= :'now'
        AND s.session >= coalesce(i.listed, '-infinity') AND s.session < coalesce(i.delisted, 'infinity')
LEFT JOIN held AS h ON h.instrument_id = i.instrument_id AND h.session = s.session
WHERE s.close <= :'closed_by' OR h.session IS NOT NULL
ORDER BY i.instrument_id, s.session
