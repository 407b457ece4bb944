-- Makes a continuous aggregate of minute bars: sums in place of averages, so that a wider one is made from it without loss.
--
-- Without bars that were not refreshed yet ("real time"): those would be ahead of the derived tables, and computed again by every query.
-- kept: its name; width: interval; base: table of bars; first, last, time_bucket: functions of the extension
CREATE MATERIALIZED VIEW :kept WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT b.instrument_id, :time_bucket(:'width', b.ts) AS ts, :first(b.open, b.ts) AS open, max(b.high) AS high,
       min(b.low) AS low, :last(b.close, b.ts) AS close, sum(b.volume) AS volume, sum(b.vwap * b.volume) AS turnover,
       count(*) FILTER (WHERE b.volume <> 0 AND b.vwap IS NULL) AS unpriced, sum(b.trades) AS trades
FROM :base AS b GROUP BY 1, 2
WITH NO DATA
