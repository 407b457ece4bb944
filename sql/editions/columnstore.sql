-- Lets TimescaleDB compress the tables of bars (Timescale licence). Compresses nothing yet. Safe to run again.

DO $$
DECLARE
    bars name;
BEGIN
    FOR bars IN
        SELECT hypertable_name FROM timescaledb_information.hypertables
        WHERE hypertable_schema = 'market' AND hypertable_name LIKE 'bars\_%' AND NOT compression_enabled
    LOOP
        EXECUTE format($alter$
            ALTER TABLE market.%I SET (
                timescaledb.compress,
                timescaledb.compress_segmentby = 'instrument_id',
                timescaledb.compress_orderby = 'ts'
            )
        $alter$, bars);
    END LOOP;
END
$$;
