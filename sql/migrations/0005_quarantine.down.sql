-- Forgets which sessions wait in quarantine. What waits there stays.

ALTER TABLE ops.quarantine DROP COLUMN IF EXISTS replaced;
ALTER TABLE ops.quarantine DROP COLUMN IF EXISTS sessions;
