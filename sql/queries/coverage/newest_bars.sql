-- Start of the newest bar of each instrument, in the store or in the lake; null where it has none.
--
-- ids: int4[]; timeframe: '1m' or '1d'
SELECT i.id, greatest(c.last, b.last) AS newest
FROM unnest(:'ids'::int4[]) AS i (id)
LEFT JOIN LATERAL (
    SELECT last_ts AS last FROM ops.coverage
    WHERE instrument_id = i.id AND timeframe = :'timeframe'
    ORDER BY session DESC
    LIMIT 1
) AS c ON true
-- Bars of a day that are in the store: in the last of their windows.
LEFT JOIN LATERAL (
    SELECT max(d.ts) AS last
    FROM (
        SELECT max(start) AS start FROM ops.bar_window
        WHERE instrument_id = i.id AND timeframe = '1d' AND :'timeframe' = '1d' AND NOT cold
    ) AS w
    JOIN market.bars_1d AS d ON d.instrument_id = i.id AND d.ts >= w.start AND d.ts < w.start + interval '1 year'
) AS b ON true
