-- Forgets where publications come from. Who released what is kept in the words of the reason.

UPDATE ops.quarantine
SET release_reason = release_reason || ' (released by ' || released_by || ')'
WHERE released_by IS NOT NULL;
ALTER TABLE ops.quarantine
    DROP COLUMN IF EXISTS landing_id,
    DROP COLUMN IF EXISTS run_id,
    DROP COLUMN IF EXISTS rules,
    DROP COLUMN IF EXISTS released_by;

-- A row without its file means nothing to the version before.
DELETE FROM ops.landing WHERE deleted_at IS NOT NULL;
ALTER TABLE ops.landing DROP COLUMN IF EXISTS deleted_at;

ALTER TABLE ops.publication
    DROP COLUMN IF EXISTS instrument_ids,
    DROP COLUMN IF EXISTS calendars,
    DROP COLUMN IF EXISTS run_id,
    DROP COLUMN IF EXISTS rules,
    DROP COLUMN IF EXISTS provider,
    DROP COLUMN IF EXISTS requested_at,
    DROP COLUMN IF EXISTS request_start,
    DROP COLUMN IF EXISTS request_end,
    DROP COLUMN IF EXISTS landing_ids,
    DROP COLUMN IF EXISTS quarantine_ids;
