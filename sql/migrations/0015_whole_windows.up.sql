-- The view of all bars shows nothing of a window that left the store: the store may hold a part of it still, where a partition or chunk
-- holds other windows too. Safe to run again.

CREATE OR REPLACE VIEW market.ohlcv AS
SELECT b.ts, i.symbol, b.timeframe, b.open, b.high, b.low, b.close, b.volume, b.vwap, b.trades, s.name AS source,
       b.known_at
FROM (
    SELECT m.*, '1m' AS timeframe FROM market.bars_1m AS m
    WHERE NOT EXISTS (
        SELECT FROM ops.bar_window AS w
        WHERE w.timeframe = '1m' AND w.cold AND w.instrument_id = m.instrument_id
            AND w.start = date_trunc('month', m.ts AT TIME ZONE 'UTC')::date
    )
    UNION ALL SELECT *, '5m' FROM market.bars_5m
    UNION ALL SELECT *, '15m' FROM market.bars_15m
    UNION ALL SELECT *, '30m' FROM market.bars_30m
    UNION ALL SELECT *, '1h' FROM market.bars_1h
    UNION ALL SELECT *, '4h' FROM market.bars_4h
    UNION ALL SELECT d.*, '1d' FROM market.bars_1d AS d
    WHERE NOT EXISTS (
        SELECT FROM ops.bar_window AS w
        WHERE w.timeframe = '1d' AND w.cold AND w.instrument_id = d.instrument_id
            AND w.start = date_trunc('year', d.ts AT TIME ZONE 'UTC')::date
    )
    UNION ALL SELECT *, '1w' FROM market.bars_1w
    UNION ALL SELECT *, '1mo' FROM market.bars_1mo
) AS b
JOIN market.instrument AS i USING (instrument_id)
JOIN market.source AS s ON s.source_id = b.source;
COMMENT ON VIEW market.ohlcv IS 'every bar''s present values, for people and dashboards that speak SQL; nothing of a window that left the store';
