-- Brings incoming bars into the table of their timeframe: skips what is identical, copies the old values of what changed to the revisions,
-- inserts what is new. Returns one row, of what changed: (instrument ids, times, whether each was revised) as arrays in their binary
-- form, or nulls where nothing did, and how many rows of the table were restated.
--
-- incoming: rows (instrument_id, ts, open, high, low, close, volume, vwap, trades, source), unique by their key
-- present: rows of the table, among them every one with the key of an incoming one (present_of_few, present_of_many), and the
--     place of each (tid)
-- restate: gives the rows that changed their new values (restate_by_place, restate_by_key)
-- known_at: timestamp
-- derived: int2[], the sources of bars of a day that were rolled up from minutes: they never replace a provider's bar, and a provider's always
--     replaces them

WITH delta AS MATERIALIZED (
    SELECT n.*, b.known_at AS believed_from, b.open AS old_open, b.high AS old_high, b.low AS old_low,
           b.close AS old_close, b.volume AS old_volume, b.vwap AS old_vwap, b.trades AS old_trades,
           b.source AS old_source, b.tid
    FROM :incoming AS n
    LEFT JOIN :present AS b ON b.instrument_id = n.instrument_id AND b.ts = n.ts
    WHERE b.ts IS NULL
        OR (
            b.open <> n.open OR b.high <> n.high OR b.low <> n.low OR b.close <> n.close
            OR b.volume IS DISTINCT FROM n.volume
            OR b.vwap IS DISTINCT FROM n.vwap
            OR b.trades IS DISTINCT FROM n.trades
        ) AND (n.source <> ALL(:'derived'::int2[]) OR b.source = ANY(:'derived'::int2[]))
        OR b.source = ANY(:'derived'::int2[]) AND n.source <> ALL(:'derived'::int2[])
),
moved AS (
    INSERT INTO market.bars_revision (timeframe, instrument_id, ts, open, high, low, close, volume, vwap, trades,
                                      source, known_at, superseded_at)
    SELECT :'timeframe', instrument_id, ts, old_open, old_high, old_low, old_close, old_volume, old_vwap, old_trades,
           old_source, believed_from, :'known_at'::timestamptz
    FROM delta
    WHERE believed_from IS NOT NULL
),
restated AS (
    :restate
),
added AS (
    INSERT INTO :bars (instrument_id, ts, open, high, low, close, volume, vwap, trades, source, known_at)
    SELECT instrument_id, ts, open, high, low, close, volume, vwap, trades, source, :'known_at'::timestamptz
    FROM delta
    WHERE believed_from IS NULL
)
SELECT array_send(array_agg(instrument_id)), array_send(array_agg(ts)), array_send(array_agg(believed_from IS NOT NULL)),
       (SELECT count(*) FROM restated)
FROM delta
