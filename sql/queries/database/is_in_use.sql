-- Whether the database holds what only a provider or a person could give again: bars, or rejected rows.
SELECT EXISTS (SELECT FROM market.ohlcv) OR EXISTS (SELECT FROM ops.quarantine) OR EXISTS (SELECT FROM ops.publication)
