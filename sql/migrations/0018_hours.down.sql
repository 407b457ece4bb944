-- Forgets how many bars came in each hour, which can be counted again.

ALTER TABLE ops.coverage DROP COLUMN IF EXISTS by_hour;
