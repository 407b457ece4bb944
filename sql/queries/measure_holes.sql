-- Measures the longest run of empty minutes of each session whose bars did not all come at once. (Others were measured while they were
-- published.) Sessions that changed meanwhile, or have left the store, stay as they are.
--
-- ids: int4[]
WITH todo AS (
    SELECT c.instrument_id, c.session, c.present, c.outside, s.open, s.close
    FROM ops.coverage AS c
    JOIN market.instrument AS i USING (instrument_id)
    JOIN market.session AS s ON s.calendar = i.calendar AND s.session = c.session
    WHERE c.timeframe = '1m' AND c.hole_slots IS NULL AND c.instrument_id = ANY(%(ids)s)
        AND NOT EXISTS (
            SELECT FROM ops.bar_window AS w
            WHERE w.timeframe = '1m' AND w.instrument_id = c.instrument_id AND w.cold
                AND w.start = date_trunc('month', c.session)::date
        )
),
runs AS (
    SELECT t.instrument_id, t.session, t.present, t.outside, b.ts,
           lag(b.ts + interval '1 minute', 1, t.open) OVER (PARTITION BY t.instrument_id, t.session ORDER BY b.ts) AS since
    FROM todo AS t
    CROSS JOIN LATERAL (
        SELECT ts FROM market.bars_1m AS m WHERE m.instrument_id = t.instrument_id AND m.ts >= t.open AND m.ts < t.close
        UNION ALL
        SELECT t.close
    ) AS b
),
longest AS (
    SELECT DISTINCT ON (instrument_id, session) instrument_id, session, present, outside, since,
           (extract(epoch FROM ts - since) / 60)::int AS slots
    FROM runs
    ORDER BY instrument_id, session, ts - since DESC, ts
)
UPDATE ops.coverage AS c
SET hole_slots = n.slots, hole_start = CASE WHEN n.slots > 0 THEN n.since END
FROM longest AS n
WHERE c.instrument_id = n.instrument_id AND c.timeframe = '1m' AND c.session = n.session
    AND c.present = n.present AND c.outside = n.outside
