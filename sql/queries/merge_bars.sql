-- Brings staged bars into the table of their timeframe: skips what is identical, moves the old values of what changed to the revisions,
-- inserts what is new. Returns one row for each bar that changed: (instrument_id, ts, revised).
--
-- incoming: rows (instrument_id, ts, open, high, low, close, volume, vwap, trades, source), unique by their key
-- known_at, first, last: timestamps; the range prunes partitions

WITH delta AS MATERIALIZED (
    SELECT n.*, b.known_at AS believed_from
    FROM {incoming} AS n
    LEFT JOIN {bars} AS b
        ON b.instrument_id = n.instrument_id AND b.ts = n.ts AND b.ts BETWEEN {first} AND {last}
    WHERE b.ts IS NULL
        OR b.open <> n.open OR b.high <> n.high OR b.low <> n.low OR b.close <> n.close
        OR b.volume IS DISTINCT FROM n.volume
        OR b.vwap IS DISTINCT FROM n.vwap
        OR b.trades IS DISTINCT FROM n.trades
),
moved AS (
    INSERT INTO market.bars_revision (timeframe, instrument_id, ts, open, high, low, close, volume, vwap, trades,
                                      source, known_at, superseded_at)
    SELECT {timeframe}, b.instrument_id, b.ts, b.open, b.high, b.low, b.close, b.volume, b.vwap, b.trades,
           b.source, b.known_at, {known_at}
    FROM delta AS d
    JOIN {bars} AS b ON b.instrument_id = d.instrument_id AND b.ts = d.ts AND b.ts BETWEEN {first} AND {last}
    WHERE d.believed_from IS NOT NULL
),
restated AS (
    UPDATE {bars} AS b
    SET open = d.open, high = d.high, low = d.low, close = d.close, volume = d.volume, vwap = d.vwap,
        trades = d.trades, source = d.source, known_at = {known_at}
    FROM delta AS d
    WHERE b.instrument_id = d.instrument_id AND b.ts = d.ts AND b.ts BETWEEN {first} AND {last}
        AND d.believed_from IS NOT NULL
),
added AS (
    INSERT INTO {bars} (instrument_id, ts, open, high, low, close, volume, vwap, trades, source, known_at)
    SELECT d.instrument_id, d.ts, d.open, d.high, d.low, d.close, d.volume, d.vwap, d.trades, d.source, {known_at}
    FROM delta AS d
    WHERE d.believed_from IS NULL
)
SELECT instrument_id, ts, believed_from IS NOT NULL AS revised FROM delta
