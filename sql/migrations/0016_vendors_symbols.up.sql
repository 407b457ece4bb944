-- Symbols of indices, futures and currencies as vendors write them: ^GSPC, ES=F, EURUSD=X. Safe to run again.

ALTER TABLE market.instrument
    DROP CONSTRAINT IF EXISTS instrument_symbol_check,
    ADD CONSTRAINT instrument_symbol_check CHECK (
        symbol ~ '^\^?[A-Za-z0-9._/:-]+(=[A-Za-z0-9]{0,2})?$' AND length(symbol) <= 32
    );
