-- Every earlier value of bars that start in [first, last) and are wanted.
SELECT b.instrument_id, b.ts, b.open, b.high, b.low, b.close, b.volume, b.vwap, b.trades, b.source, b.known_at,
       b.superseded_at
FROM market.bars_revision AS b
WHERE b.timeframe = :'timeframe' AND b.ts >= :'first' AND b.ts < :'last' AND :wanted
ORDER BY b.instrument_id, b.ts, b.known_at
