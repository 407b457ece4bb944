-- Refuses while there is a symbol that the older schema cannot hold.

DO $$
BEGIN
    IF EXISTS (SELECT FROM market.instrument WHERE symbol !~ '^[A-Za-z0-9._/:-]{1,32}$') THEN
        RAISE EXCEPTION 'the symbol % has no place in the older schema; rename it first',
            (SELECT min(symbol) FROM market.instrument WHERE symbol !~ '^[A-Za-z0-9._/:-]{1,32}$');
    END IF;
END
$$;

ALTER TABLE market.instrument
    DROP CONSTRAINT IF EXISTS instrument_symbol_check,
    ADD CONSTRAINT instrument_symbol_check CHECK (symbol ~ '^[A-Za-z0-9._/:-]{1,32}$');
