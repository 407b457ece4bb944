-- Gives tables and columns their former names. No row changes.

ALTER TABLE IF EXISTS ops.requested RENAME TO asked;
ALTER TABLE IF EXISTS ops.retry_schedule RENAME TO gap;
ALTER TABLE IF EXISTS ops.rate_limit RENAME TO call_budget;

DO $$
DECLARE
    renamed record;
BEGIN
    FOR renamed IN
        SELECT * FROM (VALUES
            ('ops.coverage', 'missing_start', 'hole_start'),
            ('ops.coverage', 'missing_slots', 'hole_slots'),
            ('ops.landing', 'processed_at', 'settled_at'),
            ('ops.call_budget', 'name', 'budget')
        ) AS r (owner, old_name, new_name)
    LOOP
        IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = renamed.owner::regclass AND attname = renamed.old_name) THEN
            EXECUTE format('ALTER TABLE %s RENAME COLUMN %I TO %I', renamed.owner, renamed.old_name, renamed.new_name);
        END IF;
    END LOOP;
    FOR renamed IN
        SELECT * FROM (VALUES
            ('ops.asked', 'requested_pkey', 'asked_pkey'),
            ('ops.asked', 'requested_instrument_id_fkey', 'asked_instrument_id_fkey'),
            ('ops.gap', 'retry_schedule_pkey', 'gap_pkey'),
            ('ops.gap', 'retry_schedule_instrument_id_fkey', 'gap_instrument_id_fkey'),
            ('ops.call_budget', 'rate_limit_pkey', 'call_budget_pkey')
        ) AS r (owner, old_name, new_name)
    LOOP
        IF EXISTS (SELECT FROM pg_constraint WHERE conrelid = renamed.owner::regclass AND conname = renamed.old_name) THEN
            EXECUTE format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', renamed.owner, renamed.old_name, renamed.new_name);
        END IF;
    END LOOP;
END
$$;
