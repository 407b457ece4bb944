-- Gives the findings of an instrument to another. Two of one rule and scope become one, which is open where one of them is.
--
-- giver, receiver: int4
WITH pairs AS MATERIALIZED (
    SELECT g.finding_id AS given, r.finding_id AS kept, g.spans, g.state
    FROM ops.finding AS g JOIN ops.finding AS r USING (timeframe, rule, scope)
    WHERE g.instrument_id = :'giver' AND r.instrument_id = :'receiver'
),
joined AS (
    UPDATE ops.finding AS f
    SET spans = f.spans + p.spans,
        state = CASE WHEN p.state = 'open' THEN 'open' ELSE f.state END,
        closed_at = CASE WHEN p.state = 'open' THEN NULL ELSE f.closed_at END,
        closed_by = CASE WHEN p.state = 'open' THEN NULL ELSE f.closed_by END,
        reason = CASE WHEN p.state = 'open' THEN NULL ELSE f.reason END
    FROM pairs AS p WHERE f.finding_id = p.kept
),
gone AS (
    DELETE FROM ops.finding WHERE finding_id IN (SELECT given FROM pairs)
)
UPDATE ops.finding SET instrument_id = :'receiver'
WHERE instrument_id = :'giver' AND finding_id NOT IN (SELECT given FROM pairs)
