-- From which files of a person's own bars were read, and what was requested when rows were rejected. Safe to run again.

ALTER TABLE ops.publication ADD COLUMN IF NOT EXISTS files jsonb;
COMMENT ON COLUMN ops.publication.files IS 'by symbol, the file that its bars were read from; null where they came from no file';

ALTER TABLE ops.quarantine
    ADD COLUMN IF NOT EXISTS requested_at  timestamptz,
    ADD COLUMN IF NOT EXISTS request_start timestamptz,
    ADD COLUMN IF NOT EXISTS request_end   timestamptz,
    ADD COLUMN IF NOT EXISTS file          text;
COMMENT ON COLUMN ops.quarantine.requested_at IS 'when the request was sent that the rows came with first';
COMMENT ON COLUMN ops.quarantine.request_start IS 'what was requested begins here, inclusive';
COMMENT ON COLUMN ops.quarantine.request_end IS 'and ends here, exclusive';
COMMENT ON COLUMN ops.quarantine.file IS 'the file that the rows were read from; null where they came from no file';
