-- Undo of 0001_spine.up.sql. Destroys every bar: for tests and empty installations.

DROP SCHEMA IF EXISTS ops CASCADE;
DROP SCHEMA IF EXISTS market CASCADE;
