-- What the gate noticed and did not reject, and which bars a person released although they broke a rule. Safe to run again.

CREATE TABLE IF NOT EXISTS ops.finding (
    finding_id    bigint         GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instrument_id int            NOT NULL REFERENCES market.instrument,
    timeframe     text           NOT NULL,
    rule          text           NOT NULL,
    scope         text           NOT NULL,
    spans         tstzmultirange NOT NULL CHECK (NOT isempty(spans)),
    evidence      jsonb          NOT NULL,
    state         text           NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'confirmed', 'dismissed')),
    found_at      timestamptz    NOT NULL DEFAULT clock_timestamp(),
    changed_at    timestamptz    NOT NULL DEFAULT clock_timestamp(),
    closed_at     timestamptz,
    closed_by     text,
    reason        text,
    UNIQUE (instrument_id, timeframe, rule, scope),
    CHECK ((state = 'open') = (closed_at IS NULL)),
    CHECK ((closed_at IS NULL) = (closed_by IS NULL))
);
CREATE INDEX IF NOT EXISTS finding_open ON ops.finding (instrument_id) WHERE state = 'open';
COMMENT ON TABLE ops.finding IS 'what the gate or a check noticed and did not reject, until evidence or a person closes it';
COMMENT ON COLUMN ops.finding.scope IS 'what it is about: a window (2024, 2024-01), or the start of a bar';
COMMENT ON COLUMN ops.finding.spans IS 'the times that it is about, half-open';
COMMENT ON COLUMN ops.finding.evidence IS 'what was seen, for a person';
COMMENT ON COLUMN ops.finding.closed_by IS 'the person who closed it, or gate where later bars did';

CREATE TABLE IF NOT EXISTS ops.released_bar (
    instrument_id int         NOT NULL REFERENCES market.instrument,
    timeframe     text        NOT NULL,
    ts            timestamptz NOT NULL,
    known_at      timestamptz NOT NULL,
    quarantine_id bigint      NOT NULL REFERENCES ops.quarantine,
    broken        text[]      NOT NULL,
    PRIMARY KEY (instrument_id, timeframe, ts, known_at)
);
COMMENT ON TABLE ops.released_bar IS 'bars that broke a rule of the gate and that a person released; known_at tells the value from later ones';
COMMENT ON COLUMN ops.released_bar.broken IS 'the rules that it broke';

CREATE OR REPLACE VIEW market.released_bar AS
SELECT i.symbol, b.timeframe, b.ts, b.known_at, b.broken, q.quarantine_id, q.released_at, q.released_by, q.release_reason
FROM ops.released_bar AS b
JOIN ops.quarantine AS q USING (quarantine_id)
JOIN market.instrument AS i ON i.instrument_id = b.instrument_id;
COMMENT ON VIEW market.released_bar IS 'bars that broke a rule of the gate, and who released them and why; to join by symbol, ts and known_at';
