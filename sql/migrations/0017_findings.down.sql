-- Forgets what the gate noticed, and which bars a person released. Safe to run again.

DROP VIEW IF EXISTS market.released_bar;
DROP TABLE IF EXISTS ops.released_bar;
DROP TABLE IF EXISTS ops.finding;
