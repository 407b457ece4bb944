-- The publications that made bars of an instrument known at some times, one for each time that the log has.
--
-- timeframe: of the bars; instrument_id: int4; symbol: canonical; known: timestamptz[]; first, last: starts of the bars, both inclusive
--
-- A file may be known under a symbol that the instrument had before.
--
-- Those of before origins were recorded do not say of which instruments they are: their time, and the range of their bars, tell.
SELECT DISTINCT ON (known_at)
       publication_id, known_at, origin AS kind, instrument_ids IS NOT NULL AS recorded, run_id, rules, provider, requested_at,
       request_start, request_end, coalesce(
           files ->> :'symbol',
           (SELECT files ->> ticker FROM market.symbol_alias AS a WHERE a.instrument_id = :'instrument_id' AND files ? ticker LIMIT 1)
       ) AS file, coalesce(calendars, '{}') AS calendars, coalesce(landing_ids, '{}') AS landing_ids,
       coalesce(quarantine_ids, '{}') AS quarantine_ids
FROM ops.publication
WHERE timeframe = :'timeframe' AND known_at = ANY(:'known'::timestamptz[])
    AND first_ts <= :'last' AND last_ts >= :'first'
    AND (instrument_ids IS NULL OR :'instrument_id' = ANY(instrument_ids))
ORDER BY known_at, instrument_ids IS NULL, publication_id
