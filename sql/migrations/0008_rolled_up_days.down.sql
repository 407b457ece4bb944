-- Forgets which days were rolled up from minutes. Their bars still say so themselves.

ALTER TABLE ops.coverage DROP COLUMN IF EXISTS derived;
