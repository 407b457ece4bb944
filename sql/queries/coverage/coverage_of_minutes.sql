-- Coverage of minute bars, per instrument, from the counts kept by session: the bars themselves are not scanned. Sources are
-- those of each session's first and last bar, and of every bar that left the store.
--
-- ids: int4[]; firsts, lasts: date[], the sessions of each, both inclusive; parallel arrays. Expected are those that closed by
-- closed_by: timestamptz, and those under way of which there is a bar. stale_since: when the first closed of which there is nothing, nor
-- of any after it; a slot is a minute in which the session is open, and not in its break
SELECT i.instrument_id, c.rows, c.first_ts, c.last_ts, n.sources,
       count(s.session) FILTER (WHERE s.close <= :'closed_by' OR p.present > 0) AS expected,
       count(s.session) FILTER (WHERE p.present > 0) AS present,
       sum(extract(epoch FROM s.close - s.open - coalesce(s.break_end - s.break_start, '0')) / 60)
           FILTER (WHERE s.close <= :'closed_by' OR p.present > 0)::int8 AS slots_expected,
       min(s.close) FILTER (WHERE s.close <= :'closed_by' AND s.session > c.last_session) AS stale_since,
       c.slots_present, c.outside
FROM market.instrument AS i
JOIN LATERAL (
    SELECT sum(o.present + o.outside)::int8 AS rows, min(o.first_ts) AS first_ts, max(o.last_ts) AS last_ts,
           max(o.session) AS last_session,
           sum(o.present)::int8 AS slots_present, sum(o.outside)::int8 AS outside
    FROM ops.coverage AS o
    WHERE o.instrument_id = i.instrument_id AND o.timeframe = '1m'
) AS c ON c.rows > 0
CROSS JOIN LATERAL (
    SELECT array_agg(DISTINCT m.name) AS sources
    FROM (
        SELECT b.source
        FROM ops.coverage AS o
        JOIN market.bars_1m AS b ON b.instrument_id = o.instrument_id AND b.ts IN (o.first_ts, o.last_ts)
        WHERE o.instrument_id = i.instrument_id AND o.timeframe = '1m'
        UNION
        SELECT unnest(w.sources)
        FROM ops.bar_window AS w
        WHERE w.timeframe = '1m' AND w.cold AND w.instrument_id = i.instrument_id
    ) AS u
    JOIN market.source AS m ON m.source_id = u.source
) AS n
JOIN unnest(:'ids'::int4[], :'firsts'::date[], :'lasts'::date[]) AS k (instrument_id, first, last) ON k.instrument_id = i.instrument_id
LEFT JOIN market.session AS s
    ON s.calendar = i.calendar AND s.session BETWEEN k.first AND k.last AND s.open <= :'now'
        AND s.session >= coalesce(i.listed, '-infinity') AND s.session < coalesce(i.delisted, 'infinity')
LEFT JOIN ops.coverage AS p
    ON p.instrument_id = i.instrument_id AND p.timeframe = '1m' AND p.session = s.session
WHERE i.instrument_id = ANY(:'ids')
GROUP BY i.instrument_id, c.rows, c.first_ts, c.last_ts, n.sources, c.slots_present, c.outside
ORDER BY i.instrument_id
