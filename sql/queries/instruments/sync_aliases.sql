-- Brings the aliases of an instrument to those given, and says whether that changed any.
--
-- symbol: canonical; tickers: text[]; starts, ends: date[], [start, end), null where there is no such limit; parallel arrays
WITH owner AS (SELECT instrument_id FROM market.instrument WHERE symbol = :'symbol'),
configured AS (
    SELECT ticker, coalesce(valid_from, '-infinity') AS valid_from, coalesce(valid_until, 'infinity') AS valid_until
    FROM unnest(:'tickers'::text[], :'starts'::date[], :'ends'::date[]) AS c (ticker, valid_from, valid_until)
),
deleted AS (
    DELETE FROM market.symbol_alias AS a USING owner AS o
    WHERE a.instrument_id = o.instrument_id
        AND NOT EXISTS (SELECT FROM configured AS c WHERE (c.ticker, c.valid_from) = (a.ticker, a.valid_from))
    RETURNING 1
),
stored AS (
    INSERT INTO market.symbol_alias AS a (ticker, valid_from, valid_until, instrument_id)
    SELECT c.ticker, c.valid_from, c.valid_until, o.instrument_id FROM configured AS c CROSS JOIN owner AS o
    ON CONFLICT (ticker, valid_from) DO UPDATE
    SET valid_until = excluded.valid_until, instrument_id = excluded.instrument_id
    WHERE (a.valid_until, a.instrument_id) IS DISTINCT FROM (excluded.valid_until, excluded.instrument_id)
    RETURNING 1
)
SELECT EXISTS (SELECT FROM deleted) OR EXISTS (SELECT FROM stored)
