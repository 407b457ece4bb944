-- Coverage of minute bars, per instrument, from the counts kept by session: the bars themselves are not scanned. Sources are
-- those of each session's first and last bar, and of every bar that left the store.
--
-- ids: int4[]; firsts, lasts: date[], the sessions of each, both inclusive; parallel arrays. Expected are those that closed by
-- closed_by: timestamptz, and those under way of which there is a bar. stale_since: when the first closed of which there is nothing, nor
-- of any after it; a slot is a minute in which the session is open, and not in its break
WITH whole AS (
    SELECT o.instrument_id, sum(o.present + o.outside)::int8 AS rows, min(o.first_ts) AS first_ts, max(o.last_ts) AS last_ts,
           max(o.session) AS last_session, sum(o.present)::int8 AS slots_present, sum(o.outside)::int8 AS outside
    FROM ops.coverage AS o
    WHERE o.instrument_id = ANY(:'ids') AND o.timeframe = '1m'
    GROUP BY o.instrument_id
    HAVING sum(o.present + o.outside) > 0
),
expected AS (
    SELECT w.instrument_id, s.session, s.close, s.session > w.last_session AS is_newer,
           extract(epoch FROM s.close - s.open - coalesce(s.break_end - s.break_start, '0')) / 60 AS slots
    FROM whole AS w
    JOIN market.instrument AS i USING (instrument_id)
    JOIN unnest(:'ids'::int4[], :'firsts'::date[], :'lasts'::date[]) AS k (instrument_id, first, last) USING (instrument_id)
    JOIN market.session AS s
        ON s.calendar = i.calendar AND s.session BETWEEN k.first AND k.last AND s.open <= :'now'
            AND s.session >= coalesce(i.listed, '-infinity') AND s.session < coalesce(i.delisted, 'infinity')
),
-- FULL JOIN, of which only the sessions are taken, is never a nested loop: see coverage_of_days.
counted AS (
    SELECT e.instrument_id, count(*) FILTER (WHERE e.close <= :'closed_by' OR p.present > 0) AS expected,
           count(*) FILTER (WHERE p.present > 0) AS present,
           sum(e.slots) FILTER (WHERE e.close <= :'closed_by' OR p.present > 0)::int8 AS slots_expected,
           min(e.close) FILTER (WHERE e.close <= :'closed_by' AND e.is_newer) AS stale_since
    FROM expected AS e
    FULL JOIN (SELECT * FROM ops.coverage WHERE timeframe = '1m' AND instrument_id = ANY(:'ids')) AS p
        ON p.instrument_id = e.instrument_id AND p.session = e.session
    WHERE coalesce(e.instrument_id, 0) <> 0
    GROUP BY e.instrument_id
)
SELECT c.instrument_id, c.rows, c.first_ts, c.last_ts, n.sources, coalesce(x.expected, 0) AS expected, coalesce(x.present, 0) AS present,
       x.slots_expected, x.stale_since, c.slots_present, c.outside
FROM whole AS c
CROSS JOIN LATERAL (
    SELECT array_agg(DISTINCT m.name) AS sources
    FROM (
        SELECT b.source
        FROM ops.coverage AS o
        JOIN market.bars_1m AS b ON b.instrument_id = o.instrument_id AND b.ts IN (o.first_ts, o.last_ts)
        WHERE o.instrument_id = c.instrument_id AND o.timeframe = '1m'
        UNION
        SELECT unnest(w.sources)
        FROM ops.bar_window AS w
        WHERE w.timeframe = '1m' AND w.cold AND w.instrument_id = c.instrument_id
    ) AS u
    JOIN market.source AS m ON m.source_id = u.source
) AS n
LEFT JOIN counted AS x ON x.instrument_id = c.instrument_id
ORDER BY c.instrument_id
