-- Forgets which lake belongs to the database; the lake itself still has its id. What was requested stays known.

DROP TABLE IF EXISTS ops.lake;
