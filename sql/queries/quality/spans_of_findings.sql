-- The separate ranges of what was noticed of an instrument and nobody dismissed, by time; by as_of, where it is not null.
--
-- instrument_id: int4; timeframe: text; start, end: timestamptz, ranges that overlap [start, end); as_of: timestamptz or null; most: how many at most
SELECT f.finding_id, f.rule, CASE WHEN :'as_of'::timestamptz < f.closed_at THEN 'open' ELSE f.state END AS state,
       coalesce(f.evidence ->> 'detail', '') AS detail, lower(span) AS start, upper(span) AS "end"
FROM ops.finding AS f CROSS JOIN LATERAL unnest(f.spans) AS span
WHERE f.instrument_id = :'instrument_id' AND f.timeframe = :'timeframe' AND span && tstzrange(:'start', :'end')
    AND (f.state <> 'dismissed' OR :'as_of'::timestamptz < f.closed_at)
    AND (:'as_of'::timestamptz IS NULL OR f.found_at <= :'as_of')
ORDER BY lower(span), f.finding_id
LIMIT :'most'::int8
