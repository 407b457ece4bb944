-- Bars that were restated, each with all its values: the superseded ones and, without superseded_at, the present one.
--
-- bars: the timeframe's table; first, last: timestamps, half-open
WITH superseded AS (
    SELECT r.ts, r.known_at, r.superseded_at, r.open, r.high, r.low, r.close, r.volume, r.vwap, r.trades, r.source
    FROM market.bars_revision AS r
    WHERE r.timeframe = :'timeframe' AND r.instrument_id = :'instrument_id' AND r.ts >= :'first' AND r.ts < :'last'
),
present AS (
    SELECT b.ts, b.known_at, NULL::timestamptz AS superseded_at, b.open, b.high, b.low, b.close, b.volume, b.vwap,
           b.trades, b.source
    FROM :bars AS b
    WHERE b.instrument_id = :'instrument_id' AND b.ts IN (SELECT ts FROM superseded) AND b.ts >= :'first' AND b.ts < :'last'
)
SELECT v.ts, v.known_at, v.superseded_at, v.open, v.high, v.low, v.close, v.volume, v.vwap, v.trades, n.name AS source
FROM (SELECT * FROM superseded UNION ALL SELECT * FROM present) AS v
JOIN market.source AS n ON n.source_id = v.source
ORDER BY v.ts, v.known_at
