-- Which instruments universe.yaml lists, so that one that is removed from it is no longer requested. Safe to run again.

ALTER TABLE market.instrument ADD COLUMN IF NOT EXISTS in_universe boolean;
COMMENT ON COLUMN market.instrument.in_universe IS 'whether universe.yaml lists it; false: no longer; null: it never did, a command registered it';
