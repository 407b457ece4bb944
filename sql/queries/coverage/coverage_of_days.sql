-- Coverage of bars of a day, per instrument: what is there, how many sessions there should be, and when the first closed of which there is
-- nothing, nor of any after it.
-- Bars are their own coverage while the store holds them; of those that left it, ops.coverage keeps count.
--
-- ids: int4[]; firsts, lasts: date[], the sessions of each, both inclusive; parallel arrays. Expected are those of the instrument's own
-- calendar that closed by closed_by: timestamptz, and those under way, now: timestamptz, of which there is a bar
WITH held AS (
    SELECT b.instrument_id, b.ts, b.source
    FROM market.bars_1d AS b
    WHERE b.instrument_id = ANY(:'ids') AND NOT EXISTS (
        SELECT FROM ops.bar_window AS w
        WHERE w.timeframe = '1d' AND w.cold AND w.instrument_id = b.instrument_id
            AND w.start = date_trunc('year', b.ts, 'UTC')::date
    )
    UNION ALL
    SELECT o.instrument_id, o.first_ts, NULL
    FROM ops.coverage AS o
    WHERE o.timeframe = '1d' AND o.instrument_id = ANY(:'ids')
),
whole AS (
    SELECT instrument_id, count(*) AS rows, min(ts) AS first_ts, max(ts) AS last_ts,
           array_agg(DISTINCT source) AS sources
    FROM held
    GROUP BY instrument_id
),
expected AS (
    SELECT w.instrument_id, s.session, s.close, s.session > w.last_ts::date AS is_newer
    FROM whole AS w
    JOIN market.instrument AS i USING (instrument_id)
    JOIN unnest(:'ids'::int4[], :'firsts'::date[], :'lasts'::date[]) AS k (instrument_id, first, last) USING (instrument_id)
    JOIN market.session AS s
        ON s.calendar = i.calendar AND s.session BETWEEN k.first AND k.last AND s.open <= :'now'
            AND s.session >= coalesce(i.listed, '-infinity') AND s.session < coalesce(i.delisted, 'infinity')
),
-- FULL JOIN, of which only the sessions are taken, is never a nested loop. A server that knows no numbers yet takes one for any other join,
-- and compares every session with every bar.
counted AS (
    SELECT e.instrument_id, count(*) FILTER (WHERE e.close <= :'closed_by' OR h.ts IS NOT NULL) AS expected, count(h.ts) AS present,
           min(e.close) FILTER (WHERE e.close <= :'closed_by' AND e.is_newer) AS stale_since
    FROM expected AS e
    FULL JOIN held AS h ON h.instrument_id = e.instrument_id AND h.ts = e.session::timestamp AT TIME ZONE 'UTC'
    WHERE coalesce(e.instrument_id, 0) <> 0
    GROUP BY e.instrument_id
)
SELECT b.instrument_id, b.rows, b.first_ts, b.last_ts, n.sources, coalesce(c.expected, 0) AS expected, coalesce(c.present, 0) AS present,
       c.stale_since
FROM whole AS b
CROSS JOIN LATERAL (
    SELECT array_agg(DISTINCT m.name) AS sources
    FROM market.source AS m
    WHERE m.source_id = ANY(b.sources) OR EXISTS (
        SELECT FROM ops.bar_window AS w
        WHERE w.timeframe = '1d' AND w.cold AND w.instrument_id = b.instrument_id AND m.source_id = ANY(w.sources)
    )
) AS n
LEFT JOIN counted AS c ON c.instrument_id = b.instrument_id
ORDER BY b.instrument_id
