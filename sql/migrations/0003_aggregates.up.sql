-- Continuous aggregates: which days they have not been brought up to date for. The aggregates themselves are made where
-- the server can and lifecycle.yaml asks for them (chandlery/store/aggregates.py). Safe to run again.

CREATE TABLE IF NOT EXISTS ops.aggregate_pending (
    instrument_id int  NOT NULL REFERENCES market.instrument,
    day           date NOT NULL,
    noted_by      xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (instrument_id, day)
);
COMMENT ON TABLE ops.aggregate_pending IS 'days whose minute bars changed and that no continuous aggregate was refreshed for since';
COMMENT ON COLUMN ops.aggregate_pending.noted_by IS 'the transaction: a refresh takes off the list what was there before it began';
