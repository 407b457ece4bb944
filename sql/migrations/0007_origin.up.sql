-- Where each publication comes from, so that a value can be traced back. What was published before is known less well: its
-- columns are null. Safe to run again.

ALTER TABLE ops.publication
    ADD COLUMN IF NOT EXISTS instrument_ids int[],
    ADD COLUMN IF NOT EXISTS calendars      text[],
    ADD COLUMN IF NOT EXISTS run_id         text,
    ADD COLUMN IF NOT EXISTS rules          text,
    ADD COLUMN IF NOT EXISTS provider       text,
    ADD COLUMN IF NOT EXISTS requested_at   timestamptz,
    ADD COLUMN IF NOT EXISTS request_start  timestamptz,
    ADD COLUMN IF NOT EXISTS request_end    timestamptz,
    ADD COLUMN IF NOT EXISTS landing_ids    bigint[],
    ADD COLUMN IF NOT EXISTS quarantine_ids bigint[];
COMMENT ON COLUMN ops.publication.instrument_ids IS 'of which a bar was inserted or revised, ascending: they and known_at lead from a bar to its publication';
COMMENT ON COLUMN ops.publication.calendars IS 'names of their calendars, each with the version of its rules';
COMMENT ON COLUMN ops.publication.run_id IS 'the orchestrator''s number of the run that published; null outside of a run';
COMMENT ON COLUMN ops.publication.rules IS 'version of the rules by which the gate audited the bars; null where it did not';
COMMENT ON COLUMN ops.publication.provider IS 'name of the provider that delivered the bars; null of roll-ups';
COMMENT ON COLUMN ops.publication.requested_at IS 'when the first of the requests was sent';
COMMENT ON COLUMN ops.publication.request_start IS 'what was requested begins here, inclusive';
COMMENT ON COLUMN ops.publication.request_end IS 'and ends here, exclusive';
COMMENT ON COLUMN ops.publication.landing_ids IS 'the answers in the landing zone that the bars come from; empty where they did not land';
COMMENT ON COLUMN ops.publication.quarantine_ids IS 'the entries of the quarantine whose rows are among the bars, because a person released them';

ALTER TABLE ops.landing ADD COLUMN IF NOT EXISTS deleted_at timestamptz;
COMMENT ON COLUMN ops.landing.deleted_at IS 'when the file was deleted because of its age; the row stays as the record of the request';

ALTER TABLE ops.quarantine
    ADD COLUMN IF NOT EXISTS landing_id  bigint,
    ADD COLUMN IF NOT EXISTS run_id      text,
    ADD COLUMN IF NOT EXISTS rules       text,
    ADD COLUMN IF NOT EXISTS released_by text CHECK (released_by IS NULL OR released_at IS NOT NULL);
COMMENT ON COLUMN ops.quarantine.landing_id IS 'the answer in the landing zone that the rows came with first';
COMMENT ON COLUMN ops.quarantine.run_id IS 'the orchestrator''s number of the run in which they were rejected first';
COMMENT ON COLUMN ops.quarantine.rules IS 'version of the rules by which they were';
COMMENT ON COLUMN ops.quarantine.released_by IS 'name of the person who released them';
-- What a downgrade kept of the names of persons.
UPDATE ops.quarantine
SET released_by = substring(release_reason FROM ' \(released by (.*)\)$'),
    release_reason = regexp_replace(release_reason, ' \(released by .*\)$', '')
WHERE released_by IS NULL AND release_reason ~ ' \(released by .*\)$';
