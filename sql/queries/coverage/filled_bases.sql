-- Which ingested timeframes of each instrument somebody fills: it has bars, was requested, or a schedule keeps it up to date.
--
-- ids: int4[]
SELECT i.instrument_id, array_agg(DISTINCT f.timeframe)
FROM market.instrument AS i
CROSS JOIN LATERAL (
    SELECT unnest(i.timeframes) AS timeframe
    UNION ALL
    SELECT a.timeframe FROM ops.requested AS a WHERE a.instrument_id = i.instrument_id
    UNION ALL
    SELECT b.timeframe
    FROM (VALUES ('1m'), ('1d')) AS b (timeframe)
    WHERE EXISTS (SELECT FROM ops.bar_window AS w WHERE w.timeframe = b.timeframe AND w.instrument_id = i.instrument_id)
) AS f
WHERE i.instrument_id = ANY(:'ids'::int4[])
GROUP BY i.instrument_id
