-- Forgets files and requests.

ALTER TABLE ops.publication DROP COLUMN IF EXISTS files;
ALTER TABLE ops.quarantine
    DROP COLUMN IF EXISTS requested_at,
    DROP COLUMN IF EXISTS request_start,
    DROP COLUMN IF EXISTS request_end,
    DROP COLUMN IF EXISTS file;
