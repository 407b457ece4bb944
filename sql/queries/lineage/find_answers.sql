-- The landed answers for a bar, newest first.
--
-- timeframe, ts: of the bar; symbol: canonical, as requests name it
-- landing_ids: int8[] of those to look at; null for all. as_of: null, or only what was requested by then
SELECT provider, fetched_at AS requested_at, start_ts AS start, end_ts AS "end", row_count AS rows, path,
       CASE WHEN deleted_at <= coalesce(:'as_of'::timestamptz, 'infinity') THEN deleted_at END AS deleted_at
FROM ops.landing
WHERE timeframe = :'timeframe' AND :'symbol' = ANY(symbols) AND start_ts <= :'ts' AND end_ts > :'ts'
    AND (:'landing_ids'::int8[] IS NULL OR landing_id = ANY(:'landing_ids'::int8[]))
    AND fetched_at <= coalesce(:'as_of'::timestamptz, 'infinity')
ORDER BY fetched_at DESC, landing_id DESC
