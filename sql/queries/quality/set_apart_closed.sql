-- Lets the closed findings of an instrument, of which another has one of the same rule and scope, have a scope of their own, so that what
-- a person or the evidence decided stays on record when both become one.
--
-- giver, receiver: int4; symbol: the giver's
UPDATE ops.finding AS g SET scope = g.scope || ' of ' || :'symbol'
FROM ops.finding AS r
WHERE g.instrument_id = :'giver' AND r.instrument_id = :'receiver' AND g.state <> 'open'
    AND (g.timeframe, g.rule, g.scope) = (r.timeframe, r.rule, r.scope)
