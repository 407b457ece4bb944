-- Makes the view through which people read a continuous aggregate: with averages in place of sums.
--
-- view: its name; kept: the aggregate
CREATE VIEW :view AS
SELECT ts, open, high, low, close, volume,
       CASE WHEN volume > 0 AND unpriced = 0 THEN turnover / volume END AS vwap, instrument_id, trades::int AS trades
FROM :kept
