-- What there is of a derived timeframe, per instrument. Nothing is expected: derived bars are as complete as their base.
--
-- ids: int4[]
SELECT b.instrument_id, count(*) AS rows, min(b.ts) AS first_ts, max(b.ts) AS last_ts,
       array_agg(DISTINCT n.name) AS sources
FROM :bars AS b
JOIN market.source AS n ON n.source_id = b.source
WHERE b.instrument_id = ANY(:'ids')
GROUP BY b.instrument_id
ORDER BY b.instrument_id
