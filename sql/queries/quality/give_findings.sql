-- Gives the findings of an instrument to another. Two of one rule and scope, the giver's open, become one, which is open; its evidence says
-- what the giver's was, and who had closed the other's.
--
-- giver, receiver: int4; symbol: the giver's
WITH pairs AS MATERIALIZED (
    SELECT g.finding_id AS given, r.finding_id AS kept, g.spans, g.evidence
    FROM ops.finding AS g JOIN ops.finding AS r USING (timeframe, rule, scope)
    WHERE g.instrument_id = :'giver' AND r.instrument_id = :'receiver'
),
joined AS (
    UPDATE ops.finding AS f
    SET spans = f.spans + p.spans, state = 'open', closed_at = NULL, closed_by = NULL, reason = NULL, changed_at = clock_timestamp(),
        evidence = f.evidence || jsonb_build_object('of ' || :'symbol', p.evidence) || CASE WHEN f.state = 'open' THEN '{}'
            ELSE jsonb_build_object('closed before', jsonb_build_object('state', f.state, 'at', f.closed_at, 'by', f.closed_by, 'reason', f.reason)) END
    FROM pairs AS p WHERE f.finding_id = p.kept
),
gone AS (
    DELETE FROM ops.finding WHERE finding_id IN (SELECT given FROM pairs)
)
UPDATE ops.finding SET instrument_id = :'receiver'
WHERE instrument_id = :'giver' AND finding_id NOT IN (SELECT given FROM pairs)
