-- The first and the last session of each instrument that was requested, has a bar or waits in quarantine. Instruments without any are
-- left out.
--
-- ids: int4[]; timeframe: '1m' or '1d'
SELECT i.id, least(a.first, c.first, b.first, q.first) AS first, greatest(a.last, c.last, b.last, q.last) AS last
FROM unnest(:'ids'::int4[]) AS i (id)
LEFT JOIN LATERAL (
    SELECT lower(sessions) AS first, upper(sessions) - 1 AS last FROM ops.requested
    WHERE instrument_id = i.id AND timeframe = :'timeframe'
) AS a ON true
LEFT JOIN LATERAL (
    SELECT min(session) AS first, max(session) AS last FROM ops.coverage
    WHERE instrument_id = i.id AND timeframe = :'timeframe'
) AS c ON true
LEFT JOIN LATERAL (
    SELECT min(lower(sessions - replaced)) AS first, max(upper(sessions - replaced)) - 1 AS last FROM ops.quarantine
    WHERE instrument_id = i.id AND timeframe = :'timeframe' AND released_at IS NULL
) AS q ON true
-- Bars of a day that are in the store: in the first and in the last of their windows.
LEFT JOIN LATERAL (
    SELECT min(d.ts)::date AS first, max(d.ts)::date AS last
    FROM (
        SELECT min(start) AS first, max(start) AS last FROM ops.bar_window
        WHERE instrument_id = i.id AND timeframe = '1d' AND :'timeframe' = '1d' AND NOT cold
    ) AS w
    CROSS JOIN LATERAL (VALUES (w.first), (w.last)) AS v (start)
    JOIN market.bars_1d AS d ON d.instrument_id = i.id AND d.ts >= v.start AND d.ts < v.start + interval '1 year'
) AS b ON true
WHERE least(a.first, c.first, b.first, q.first) IS NOT NULL
