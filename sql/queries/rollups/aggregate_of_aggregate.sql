-- Makes a continuous aggregate of a narrower one; see aggregate_of_bars.
--
-- kept: its name; width: interval; base: the narrower one; first, last, time_bucket: functions of the extension
CREATE MATERIALIZED VIEW :kept WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT b.instrument_id, :time_bucket(:'width', b.ts) AS ts, :first(b.open, b.ts) AS open, max(b.high) AS high,
       min(b.low) AS low, :last(b.close, b.ts) AS close, sum(b.volume) AS volume, sum(b.turnover) AS turnover,
       sum(b.unpriced)::bigint AS unpriced, sum(b.trades)::bigint AS trades
FROM :base AS b GROUP BY 1, 2
WITH NO DATA
