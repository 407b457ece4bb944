-- Findings, by instrument, timeframe and time.
--
-- ids: instrument ids, or null for all; timeframe, rule, state: text, or null for all; finding_id: one, which may be any whole number, or null for all. The state
-- 'current' stands for those that nobody dismissed.
SELECT f.finding_id, f.instrument_id, i.symbol, f.timeframe, f.rule, f.scope, lower(f.spans) AS start, upper(f.spans) AS "end",
       (SELECT count(*)::int FROM unnest(f.spans)) AS span_count, f.evidence, f.state, f.found_at, f.changed_at, f.closed_at,
       f.closed_by, f.reason
FROM ops.finding AS f JOIN market.instrument AS i USING (instrument_id)
WHERE (:'ids'::int4[] IS NULL OR f.instrument_id = ANY(:'ids'::int4[]))
    AND (:'timeframe'::text IS NULL OR f.timeframe = :'timeframe') AND (:'rule'::text IS NULL OR f.rule = :'rule')
    AND (:'state'::text IS NULL OR f.state = :'state' OR :'state' = 'current' AND f.state <> 'dismissed') AND (:'finding_id'::numeric IS NULL OR f.finding_id = :'finding_id')
ORDER BY i.symbol, f.timeframe, lower(f.spans), f.finding_id
