-- Forgets which instruments universe.yaml lists: the next `chandlery init` knows. Safe to run again.

ALTER TABLE market.instrument DROP COLUMN IF EXISTS in_universe;
