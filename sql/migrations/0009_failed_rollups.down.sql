-- Forgets which stale days could not be rolled up. They are stale still.

ALTER TABLE ops.rollup_pending
    DROP COLUMN IF EXISTS failures,
    DROP COLUMN IF EXISTS next_try,
    DROP COLUMN IF EXISTS error;
