-- The first and the last session of [since, until) of which there are minutes, and whose; nulls where no day was ever rolled up.
--
-- ids: int4[]; since, until: dates
SELECT min(session), max(session), array_agg(DISTINCT instrument_id)
FROM ops.coverage
WHERE timeframe = '1m' AND instrument_id = ANY(:'ids'::int4[]) AND session >= :'since' AND session < :'until'
    AND EXISTS (SELECT FROM market.source WHERE starts_with(name, 'derived:'))
