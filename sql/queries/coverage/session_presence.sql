-- Every session of an instrument's calendar that is expected, and whether anything of it is there. (1d and 1m.)
-- FULL JOIN, of which only the sessions are taken, is never a nested loop, in which every session would be compared with every bar.
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
),
expected AS (
    SELECT i.instrument_id, i.symbol, s.session, s.close
    FROM unnest(:'ids'::int4[], :'firsts'::date[], :'lasts'::date[]) AS k (instrument_id, first, last)
    JOIN market.instrument AS i USING (instrument_id)
    JOIN market.session AS s ON s.calendar = i.calendar AND s.session BETWEEN k.first AND k.last AND s.open <= :'now'
        AND s.session >= coalesce(i.listed, '-infinity') AND s.session < coalesce(i.delisted, 'infinity')
)
SELECT e.symbol, e.session, h.session IS NOT NULL AS present
FROM expected AS e
FULL JOIN held AS h ON h.instrument_id = e.instrument_id AND h.session = e.session
WHERE coalesce(e.symbol, '') <> '' AND (e.close <= :'closed_by' OR h.session IS NOT NULL)
ORDER BY e.instrument_id, e.session
