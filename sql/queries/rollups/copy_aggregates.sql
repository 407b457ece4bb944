-- Copies derived bars of the listed days and instruments into a continuous aggregate whose minutes left the store.
--
-- place: the table in which the server keeps it; bars: the derived table; start, end: dates, [start, end); seen: snapshot: what was
-- noted later is left
INSERT INTO :place (instrument_id, ts, open, high, low, close, volume, turnover, unpriced, trades)
SELECT b.instrument_id, b.ts, b.open, b.high, b.low, b.close, b.volume, b.vwap * b.volume,
       CASE WHEN b.volume > 0 AND b.vwap IS NULL THEN 1 ELSE 0 END, b.trades
FROM :bars AS b JOIN ops.aggregate_pending AS p
  ON b.instrument_id = p.instrument_id AND b.ts >= p.day AND b.ts < p.day + 1
WHERE b.ts >= :'start' AND b.ts < :'end'
  AND p.day >= :'start' AND p.day < :'end' AND pg_visible_in_snapshot(p.noted_by, :'seen'::pg_snapshot)
