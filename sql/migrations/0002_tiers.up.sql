-- The tiers: which file of the lake holds which window of bars, and which windows have left the store. Safe to run again.

CREATE TABLE IF NOT EXISTS ops.manifest (
    manifest_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    timeframe      text        NOT NULL,
    instrument_id  int         REFERENCES market.instrument,
    start          date        NOT NULL,
    until          date        NOT NULL CHECK (until > start),
    version        int         NOT NULL CHECK (version > 0),
    path           text        NOT NULL UNIQUE,
    bytes          bigint      NOT NULL,
    footer_digest  bytea       NOT NULL,
    row_count      bigint      NOT NULL,
    digest         bytea       NOT NULL,
    revisions      jsonb,
    written_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    verified_at    timestamptz NOT NULL,
    retired_at     timestamptz,
    deleted_at     timestamptz CHECK (deleted_at >= retired_at),
    UNIQUE NULLS NOT DISTINCT (timeframe, instrument_id, start, until, version)
);
COMMENT ON TABLE ops.manifest IS 'files of the lake; a retired one was replaced by a later version, and is deleted after a grace period';
COMMENT ON COLUMN ops.manifest.instrument_id IS 'whose bars; null where a file holds those of every instrument';
COMMENT ON COLUMN ops.manifest.path IS 'below the lake''s root';
COMMENT ON COLUMN ops.manifest.footer_digest IS 'SHA-256 of the Parquet footer, by which a reader tells that the file is the one that was written';
COMMENT ON COLUMN ops.manifest.digest IS 'SHA-256 over the values, in the order of their keys';
COMMENT ON COLUMN ops.manifest.revisions IS 'path, size in bytes, footer_digest, row_count and digest of the file of the earlier values, where there are any';

CREATE TABLE IF NOT EXISTS ops.bar_window (
    timeframe      text        NOT NULL,
    instrument_id  int         NOT NULL REFERENCES market.instrument,
    start          date        NOT NULL,
    changed_at     timestamptz NOT NULL,
    archived_change timestamptz,
    manifest_id    bigint      REFERENCES ops.manifest,
    cold           boolean     NOT NULL DEFAULT false,
    keep_until     timestamptz,
    sources        smallint[],
    PRIMARY KEY (timeframe, instrument_id, start),
    CHECK ((manifest_id IS NULL) = (archived_change IS NULL)),
    -- What left the store is in the lake as it was last.
    CHECK (cold = (sources IS NOT NULL)),
    CHECK (NOT cold OR (manifest_id IS NOT NULL AND archived_change = changed_at))
);
CREATE INDEX IF NOT EXISTS bar_window_manifest ON ops.bar_window (manifest_id);
COMMENT ON TABLE ops.bar_window IS 'the life of each month (of minutes) or year (of days) of an instrument''s bars';
COMMENT ON COLUMN ops.bar_window.changed_at IS 'known_at of the last publication that changed a bar of it';
COMMENT ON COLUMN ops.bar_window.archived_change IS 'changed_at of what the file holds; the file is current while they are equal';
COMMENT ON COLUMN ops.bar_window.cold IS 'the lake answers for it, and the store holds none of its bars that anybody may read';
COMMENT ON COLUMN ops.bar_window.sources IS 'of its bars, while it is cold';
COMMENT ON COLUMN ops.bar_window.keep_until IS 'restored by a person: retention leaves it alone until then';

CREATE TABLE IF NOT EXISTS ops.tiering (
    timeframe text   PRIMARY KEY,
    epoch     bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE ops.tiering IS 'epoch counts the times that windows left the store or came back: a reader that sees it change reads again';
INSERT INTO ops.tiering (timeframe) VALUES ('1m'), ('1d') ON CONFLICT DO NOTHING;

-- Bars that were published before there were windows.
INSERT INTO ops.bar_window (timeframe, instrument_id, start, changed_at)
SELECT '1m', instrument_id, date_trunc('month', ts, 'UTC')::date, max(known_at) FROM market.bars_1m GROUP BY 2, 3
UNION ALL
SELECT '1d', instrument_id, date_trunc('year', ts, 'UTC')::date, max(known_at) FROM market.bars_1d GROUP BY 2, 3
ON CONFLICT DO NOTHING;
