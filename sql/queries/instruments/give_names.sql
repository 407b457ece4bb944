-- Gives the halts and the aliases of an instrument to another, and its symbol as an alias until a day; the instrument is no more. Two halts
-- from one time on are one, until the later end, with the reasons of both.
--
-- giver, receiver: int4; symbol: the giver's; until: date, null where there is no limit
WITH halts AS (
    DELETE FROM market.halt WHERE instrument_id = :'giver' RETURNING start_ts, end_ts, reason
),
halted AS (
    INSERT INTO market.halt AS h (instrument_id, start_ts, end_ts, reason)
    SELECT :'receiver', start_ts, end_ts, reason FROM halts
    ON CONFLICT (instrument_id, start_ts) DO UPDATE
    SET end_ts = greatest(h.end_ts, excluded.end_ts),
        reason = CASE WHEN h.reason = excluded.reason THEN h.reason ELSE h.reason || '; ' || excluded.reason END
),
aliases AS (
    UPDATE market.symbol_alias SET instrument_id = :'receiver'
    WHERE instrument_id = :'giver' AND NOT (ticker = :'symbol' AND valid_from = '-infinity')
),
named AS (
    INSERT INTO market.symbol_alias AS a (ticker, valid_from, valid_until, instrument_id)
    VALUES (:'symbol', '-infinity', coalesce(:'until'::date, 'infinity'), :'receiver')
    ON CONFLICT (ticker, valid_from) DO UPDATE SET valid_until = excluded.valid_until, instrument_id = excluded.instrument_id
)
DELETE FROM market.instrument WHERE instrument_id = :'giver'
