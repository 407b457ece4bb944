-- Run before 0010_universe.down.sql: sets aside which instruments universe.yaml listed, and which a person removed from it.

CREATE TABLE ops.kept_universe AS SELECT instrument_id, in_universe FROM market.instrument WHERE in_universe IS NOT NULL;
