-- Brings the findings of what was audited to what the gate noticed there. What it noticed outside of the audited ranges stays. The same
-- again changes nothing.
--
-- timeframe: text; rules: those that were audited, text[]; closed_by: who closes what is no longer noticed
-- ids, scopes, ranges: what was audited: instrument ids, windows, and half-open ranges as the text of a tstzrange
-- found_ids, found_scopes, found_rules, found_spans, found_evidence: what was noticed; spans as the text of a tstzmultirange, evidence of jsonb
--
-- A finding of which nothing is left is dismissed, and open again when it comes back. One that a person closed is open again only if it
-- is about other times than those that the person saw.
WITH audited AS (
    SELECT * FROM unnest(:'ids'::int4[], :'scopes'::text[], :'ranges'::text[]::tstzrange[]) AS t (instrument_id, scope, audited)
),
found AS (
    SELECT * FROM unnest(
        :'found_ids'::int4[], :'found_scopes'::text[], :'found_rules'::text[], :'found_spans'::text[]::tstzmultirange[],
        :'found_evidence'::text[]::jsonb[]
    ) AS t (instrument_id, scope, rule, spans, evidence)
),
known AS (
    SELECT f.*, a.audited, f.state = 'dismissed' AND f.closed_by = :'closed_by' AS is_gone
    FROM audited AS a JOIN ops.finding AS f USING (instrument_id, scope)
    WHERE f.timeframe = :'timeframe' AND f.rule = ANY(:'rules')
),
merged AS (
    SELECT instrument_id, scope, rule, coalesce(n.evidence, k.evidence) AS evidence,
           k.spans AS known_spans, k.state AS known_state, k.evidence AS known_evidence, k.is_gone, k.closed_at, k.closed_by, k.reason,
           CASE WHEN k.is_gone THEN '{}' ELSE coalesce(k.spans, '{}') - coalesce(tstzmultirange(k.audited), '{}') END
               + coalesce(n.spans, '{}') AS spans
    FROM known AS k FULL JOIN found AS n USING (instrument_id, scope, rule)
),
decided AS (
    SELECT m.*, CASE WHEN isempty(m.spans) THEN CASE WHEN m.known_state = 'open' THEN 'dismissed' ELSE m.known_state END
                     WHEN m.known_state IS NULL OR m.is_gone OR NOT m.spans <@ m.known_spans THEN 'open'
                     ELSE m.known_state END AS state
    FROM merged AS m
)
INSERT INTO ops.finding AS f (instrument_id, timeframe, rule, scope, spans, evidence, state, closed_at, closed_by, reason)
SELECT instrument_id, :'timeframe', rule, scope, CASE WHEN isempty(spans) THEN known_spans ELSE spans END, evidence, state,
       CASE WHEN state = 'open' THEN NULL WHEN state = known_state THEN closed_at ELSE clock_timestamp() END,
       CASE WHEN state = 'open' THEN NULL WHEN state = known_state THEN closed_by ELSE :'closed_by' END,
       CASE WHEN state = 'open' THEN NULL WHEN state = known_state THEN reason ELSE 'no longer so' END
FROM decided
WHERE known_state IS NULL OR state <> known_state OR NOT isempty(spans) AND (spans <> known_spans OR evidence <> known_evidence)
ON CONFLICT (instrument_id, timeframe, rule, scope) DO UPDATE
SET spans = excluded.spans, evidence = excluded.evidence, state = excluded.state, closed_at = excluded.closed_at,
    closed_by = excluded.closed_by, reason = excluded.reason, changed_at = clock_timestamp()
