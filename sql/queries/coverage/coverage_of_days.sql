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
-- Counted from the bars, each of which finds its session by the key: where the server knows no numbers yet, it would compare every session
-- with every bar.
counted AS (
    SELECT h.instrument_id, count(*) AS present, count(*) FILTER (WHERE s.close > :'closed_by') AS under_way
    FROM held AS h
    JOIN market.instrument AS i USING (instrument_id)
    JOIN unnest(:'ids'::int4[], :'firsts'::date[], :'lasts'::date[]) AS k (instrument_id, first, last) USING (instrument_id)
    JOIN market.session AS s
        ON s.calendar = i.calendar AND s.session = (h.ts AT TIME ZONE 'UTC')::date AND s.session::timestamptz = h.ts
            AND s.session BETWEEN k.first AND k.last AND s.open <= :'now'
            AND s.session >= coalesce(i.listed, '-infinity') AND s.session < coalesce(i.delisted, 'infinity')
    GROUP BY h.instrument_id
)
SELECT b.instrument_id, b.rows, b.first_ts, b.last_ts, n.sources,
       count(s.session) FILTER (WHERE s.close <= :'closed_by') + coalesce(c.under_way, 0) AS expected,
       coalesce(c.present, 0) AS present,
       min(s.close) FILTER (WHERE s.close <= :'closed_by' AND s.session > b.last_ts::date) AS stale_since
FROM whole AS b
JOIN market.instrument AS i USING (instrument_id)
JOIN unnest(:'ids'::int4[], :'firsts'::date[], :'lasts'::date[]) AS k (instrument_id, first, last) USING (instrument_id)
CROSS JOIN LATERAL (
    SELECT array_agg(DISTINCT m.name) AS sources
    FROM market.source AS m
    WHERE m.source_id = ANY(b.sources) OR EXISTS (
        SELECT FROM ops.bar_window AS w
        WHERE w.timeframe = '1d' AND w.cold AND w.instrument_id = b.instrument_id AND m.source_id = ANY(w.sources)
    )
) AS n
LEFT JOIN market.session AS s
    ON s.calendar = i.calendar AND s.session BETWEEN k.first AND k.last AND s.open <= :'now'
        AND s.session >= coalesce(i.listed, '-infinity') AND s.session < coalesce(i.delisted, 'infinity')
LEFT JOIN counted AS c ON c.instrument_id = b.instrument_id
GROUP BY b.instrument_id, b.rows, b.first_ts, b.last_ts, n.sources, c.present, c.under_way
ORDER BY b.instrument_id
