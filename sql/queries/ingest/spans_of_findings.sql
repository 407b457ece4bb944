-- The ranges of time that open findings of a window are about, with the rule and the evidence of each.
--
-- timeframe, scope: text; instrument_id: int4; rules: text[]
SELECT f.rule, f.evidence, lower(s), upper(s)
FROM ops.finding AS f CROSS JOIN unnest(f.spans) AS s
WHERE f.state = 'open' AND f.timeframe = :'timeframe' AND f.instrument_id = :'instrument_id' AND f.scope = :'scope'
    AND f.rule = ANY(:'rules'::text[])
ORDER BY f.rule, lower(s)
