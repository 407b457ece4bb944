-- Ends bars: they are no longer believed from known_at on, and stay in the revisions. Returns (instrument, start) of those that were there.
--
-- bars: the timeframe's table; timeframe: its name; ids: int4[]; moments: timestamptz[]; parallel arrays; first, last: timestamps around all
-- moments, inclusive, to prune partitions; only_derived: whether bars of a provider stay; source: of which alone bars end, null for any;
-- known_at: timestamptz
WITH ended AS (
    DELETE FROM :bars AS b
    USING unnest(:'ids'::int4[], :'moments'::timestamptz[]) AS n (id, ts)
    WHERE b.instrument_id = n.id AND b.ts = n.ts AND b.ts BETWEEN :'first' AND :'last'
        AND (NOT :'only_derived'::bool OR b.source IN (SELECT source_id FROM market.source WHERE starts_with(name, 'derived:')))
        AND (:'source'::text IS NULL OR b.source = (SELECT source_id FROM market.source WHERE name = :'source'))
    RETURNING b.*
)
INSERT INTO market.bars_revision (timeframe, instrument_id, ts, open, high, low, close, volume, vwap, trades, source, known_at, superseded_at)
SELECT :'timeframe', instrument_id, ts, open, high, low, close, volume, vwap, trades, source, known_at, :'known_at'::timestamptz
FROM ended
RETURNING instrument_id, ts
