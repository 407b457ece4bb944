-- Coverage of bars of a day, per instrument: what is there, and how many sessions there should be between the first and the last.
-- Bars are their own coverage while the store holds them; of those that left it, ops.coverage keeps count.
--
-- ids: int4[]; only sessions of the instrument's own calendar are expected
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
)
SELECT b.instrument_id, b.rows, b.first_ts, b.last_ts, n.sources,
       count(s.session) AS expected,
       count(h.ts) AS present
FROM whole AS b
JOIN market.instrument AS i USING (instrument_id)
CROSS JOIN LATERAL (
    SELECT array_agg(DISTINCT m.name) AS sources
    FROM market.source AS m
    WHERE m.source_id = ANY(b.sources) OR EXISTS (
        SELECT FROM ops.bar_window AS w
        WHERE w.timeframe = '1d' AND w.cold AND w.instrument_id = b.instrument_id AND m.source_id = ANY(w.sources)
    )
) AS n
LEFT JOIN market.session AS s
    ON s.calendar = i.calendar AND s.session BETWEEN b.first_ts::date AND b.last_ts::date
        AND s.session >= coalesce(i.listed, '-infinity') AND s.session < coalesce(i.delisted, 'infinity')
LEFT JOIN held AS h ON h.instrument_id = b.instrument_id AND h.ts = s.session::timestamptz
GROUP BY b.instrument_id, b.rows, b.first_ts, b.last_ts, n.sources
ORDER BY b.instrument_id
