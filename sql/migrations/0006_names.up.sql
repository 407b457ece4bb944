-- Names that say what a table or a column holds: a word means one thing. No row changes. Safe to run again.

ALTER TABLE IF EXISTS ops.asked RENAME TO requested;
ALTER TABLE IF EXISTS ops.gap RENAME TO retry_schedule;
ALTER TABLE IF EXISTS ops.call_budget RENAME TO rate_limit;

DO $$
DECLARE
    renamed record;
BEGIN
    FOR renamed IN
        SELECT * FROM (VALUES
            ('ops.coverage', 'hole_start', 'missing_start'),
            ('ops.coverage', 'hole_slots', 'missing_slots'),
            ('ops.landing', 'settled_at', 'processed_at'),
            ('ops.rate_limit', 'budget', 'name')
        ) AS r (owner, old_name, new_name)
    LOOP
        IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = renamed.owner::regclass AND attname = renamed.old_name) THEN
            EXECUTE format('ALTER TABLE %s RENAME COLUMN %I TO %I', renamed.owner, renamed.old_name, renamed.new_name);
        END IF;
    END LOOP;
    FOR renamed IN
        SELECT * FROM (VALUES
            ('ops.requested', 'asked_pkey', 'requested_pkey'),
            ('ops.requested', 'asked_instrument_id_fkey', 'requested_instrument_id_fkey'),
            ('ops.retry_schedule', 'gap_pkey', 'retry_schedule_pkey'),
            ('ops.retry_schedule', 'gap_instrument_id_fkey', 'retry_schedule_instrument_id_fkey'),
            ('ops.rate_limit', 'call_budget_pkey', 'rate_limit_pkey')
        ) AS r (owner, old_name, new_name)
    LOOP
        IF EXISTS (SELECT FROM pg_constraint WHERE conrelid = renamed.owner::regclass AND conname = renamed.old_name) THEN
            EXECUTE format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', renamed.owner, renamed.old_name, renamed.new_name);
        END IF;
    END LOOP;
END
$$;

COMMENT ON TABLE ops.rate_limit IS 'when the next call to a provider may be made, over all processes, by key';
COMMENT ON COLUMN ops.rate_limit.name IS 'kind of provider, and a digest of its key';
COMMENT ON TABLE ops.retry_schedule IS 'sessions that are requested again, and when';
COMMENT ON TABLE ops.landing IS 'what providers answered, before the gate audited it; a file in the landing zone each';
COMMENT ON COLUMN ops.landing.processed_at IS 'when it was audited, and published or quarantined; null: it still has to be';
COMMENT ON COLUMN ops.coverage.missing_start IS 'where the longest run of slots without a bar begins; null where there is none, or not measured';
COMMENT ON COLUMN ops.coverage.missing_slots IS 'how many slots it has; null: bars came since it was measured';
COMMENT ON COLUMN market.source.name IS 'kind of provider, its own name where that is another, and feed: alpaca:sip, files:backup';
COMMENT ON TABLE ops.requested IS 'the sessions that were requested from a provider who answered, whatever the answer was';
COMMENT ON COLUMN ops.requested.final IS 'those requested after they had settled: the provider changes them no more by itself';
COMMENT ON COLUMN ops.requested.calendar IS 'the calendar, and the version of its rules, by which the sessions were determined last';
COMMENT ON COLUMN ops.retry_schedule.launches IS 'how often it was about to be requested again';
COMMENT ON COLUMN ops.retry_schedule.tries IS 'how often the provider answered since then';
COMMENT ON COLUMN ops.retry_schedule.next_try IS 'it is not requested again before';
COMMENT ON COLUMN ops.retry_schedule.confirmed_at IS 'when the provider had answered often enough for what is missing not to exist';
