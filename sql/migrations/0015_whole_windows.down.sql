-- The view as it was before.

CREATE OR REPLACE VIEW market.ohlcv AS
SELECT b.ts, i.symbol, b.timeframe, b.open, b.high, b.low, b.close, b.volume, b.vwap, b.trades, s.name AS source,
       b.known_at
FROM (
    SELECT *, '1m' AS timeframe FROM market.bars_1m
    UNION ALL SELECT *, '5m' FROM market.bars_5m
    UNION ALL SELECT *, '15m' FROM market.bars_15m
    UNION ALL SELECT *, '30m' FROM market.bars_30m
    UNION ALL SELECT *, '1h' FROM market.bars_1h
    UNION ALL SELECT *, '4h' FROM market.bars_4h
    UNION ALL SELECT *, '1d' FROM market.bars_1d
    UNION ALL SELECT *, '1w' FROM market.bars_1w
    UNION ALL SELECT *, '1mo' FROM market.bars_1mo
) AS b
JOIN market.instrument AS i USING (instrument_id)
JOIN market.source AS s ON s.source_id = b.source;
COMMENT ON VIEW market.ohlcv IS 'every bar''s present values, for people and dashboards that speak SQL';
