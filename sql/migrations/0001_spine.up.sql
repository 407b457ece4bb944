-- The spine: instruments, bars, revisions, coverage, quarantine. Safe to run again.

CREATE SCHEMA IF NOT EXISTS market;
CREATE SCHEMA IF NOT EXISTS ops;

COMMENT ON SCHEMA market IS 'What was traded: instruments, bars and their revisions';
COMMENT ON SCHEMA ops IS 'How it got here: coverage, quarantine, publications, pending roll-ups';

-- Instruments --------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS market.instrument (
    instrument_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    symbol        text NOT NULL UNIQUE CHECK (symbol ~ '^[A-Za-z0-9._/:-]{1,32}$'),
    asset_class   text NOT NULL,
    calendar      text NOT NULL,
    provider      text NOT NULL,
    timeframes    text[] NOT NULL,
    name          text,
    listed        date,
    delisted      date CHECK (delisted > listed)
);
COMMENT ON COLUMN market.instrument.timeframes IS 'the ingested timeframes that schedules keep up to date';
COMMENT ON COLUMN market.instrument.symbol IS 'canonical ticker; other tickers of the instrument are dated aliases';

CREATE TABLE IF NOT EXISTS market.symbol_alias (
    ticker        text NOT NULL,
    valid_from    date NOT NULL DEFAULT '-infinity',
    valid_until   date NOT NULL DEFAULT 'infinity' CHECK (valid_until > valid_from),
    instrument_id int  NOT NULL REFERENCES market.instrument ON DELETE CASCADE,
    PRIMARY KEY (ticker, valid_from)
);
COMMENT ON COLUMN market.symbol_alias.valid_until IS 'first day on which the ticker no longer named the instrument';

CREATE TABLE IF NOT EXISTS market.corporate_action (
    instrument_id int         NOT NULL REFERENCES market.instrument,
    ex_date       date        NOT NULL,
    kind          text        NOT NULL CHECK (kind IN ('split', 'dividend')),
    amount        numeric     NOT NULL CHECK (amount > 0),
    source        text        NOT NULL,
    known_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    superseded_at timestamptz NOT NULL DEFAULT 'infinity' CHECK (superseded_at > known_at),
    PRIMARY KEY (instrument_id, ex_date, kind, known_at)
);
COMMENT ON COLUMN market.corporate_action.amount IS 'split: new shares per old; dividend: currency per share as traded';

CREATE TABLE IF NOT EXISTS market.session (
    calendar text        NOT NULL,
    session  date        NOT NULL,
    open     timestamptz NOT NULL,
    close    timestamptz NOT NULL CHECK (close > open),
    version  text        NOT NULL,
    PRIMARY KEY (calendar, session)
);
COMMENT ON COLUMN market.session.close IS 'first instant after trading';

CREATE TABLE IF NOT EXISTS market.source (
    source_id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name      text NOT NULL UNIQUE
);
COMMENT ON COLUMN market.source.name IS 'provider and feed of a bar, as in alpaca:sip';
-- There from the start: two roll-ups that register it at once, each holding a table the other wants, would wait for ever.
INSERT INTO market.source (name) VALUES ('mixed') ON CONFLICT DO NOTHING;

-- Bars ---------------------------------------------------------------------------------------------------------------
-- One table per timeframe, all alike; eight-byte columns first, which saves 8 bytes a row. Partitions by ts are made by
-- the edition (chandlery/store/editions), ahead of need.

DO $$
DECLARE
    timeframe text;
BEGIN
    FOREACH timeframe IN ARRAY ARRAY['1m', '5m', '15m', '30m', '1h', '4h', '1d', '1w', '1mo'] LOOP
        EXECUTE format($table$
            CREATE TABLE IF NOT EXISTS market.%1$I (
                ts            timestamptz NOT NULL,
                known_at      timestamptz NOT NULL,
                open          float8      NOT NULL,
                high          float8      NOT NULL,
                low           float8      NOT NULL,
                close         float8      NOT NULL,
                volume        float8,
                vwap          float8,
                instrument_id int         NOT NULL,
                trades        int,
                source        smallint    NOT NULL,
                PRIMARY KEY (instrument_id, ts)
            ) PARTITION BY RANGE (ts)
        $table$, 'bars_' || timeframe);
        EXECUTE format('COMMENT ON COLUMN market.%I.ts IS %L', 'bars_' || timeframe,
                       'start of the bar, UTC; from a day up, 00:00 UTC of its first session''s date');
        EXECUTE format('COMMENT ON COLUMN market.%I.known_at IS %L', 'bars_' || timeframe,
                       'when these values were learned');
    END LOOP;
END
$$;

CREATE TABLE IF NOT EXISTS market.bars_revision (
    ts            timestamptz NOT NULL,
    known_at      timestamptz NOT NULL,
    superseded_at timestamptz NOT NULL CHECK (superseded_at > known_at),
    open          float8      NOT NULL,
    high          float8      NOT NULL,
    low           float8      NOT NULL,
    close         float8      NOT NULL,
    volume        float8,
    vwap          float8,
    instrument_id int         NOT NULL,
    trades        int,
    source        smallint    NOT NULL,
    timeframe     text        NOT NULL,
    PRIMARY KEY (timeframe, instrument_id, ts, known_at)
);
COMMENT ON TABLE market.bars_revision IS 'earlier values of restated bars, believed from known_at until superseded_at';

CREATE OR REPLACE VIEW market.ohlcv AS
SELECT b.ts, i.symbol, b.timeframe, b.open, b.high, b.low, b.close, b.volume, b.vwap, b.trades, s.name AS source,
       b.known_at
FROM (
    SELECT *, '1m' AS timeframe FROM market.bars_1m
    UNION ALL SELECT *, '5m' FROM market.bars_5m
    UNION ALL SELECT *, '15m' FROM market.bars_15m
    UNION ALL SELECT *, '30m' FROM market.bars_30m
    UNION ALL SELECT *, '1h' FROM market.bars_1h
    UNION ALL SELECT *, '4h' FROM market.bars_4h
    UNION ALL SELECT *, '1d' FROM market.bars_1d
    UNION ALL SELECT *, '1w' FROM market.bars_1w
    UNION ALL SELECT *, '1mo' FROM market.bars_1mo
) AS b
JOIN market.instrument AS i USING (instrument_id)
JOIN market.source AS s ON s.source_id = b.source;
COMMENT ON VIEW market.ohlcv IS 'every bar''s present values, for people and dashboards that speak SQL';

-- How it got here ----------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS ops.coverage (
    instrument_id int         NOT NULL REFERENCES market.instrument,
    timeframe     text        NOT NULL,
    session       date        NOT NULL,
    present       int         NOT NULL,
    outside       int         NOT NULL,
    first_ts      timestamptz NOT NULL,
    last_ts       timestamptz NOT NULL,
    PRIMARY KEY (instrument_id, timeframe, session)
);
COMMENT ON TABLE ops.coverage IS 'what is there of each session of intraday bars; daily bars are their own coverage';
COMMENT ON COLUMN ops.coverage.present IS 'bars that start while the session is open';
COMMENT ON COLUMN ops.coverage.outside IS 'bars of extended hours, counted with the nearest session';

CREATE TABLE IF NOT EXISTS ops.publication (
    publication_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    timeframe      text        NOT NULL,
    known_at       timestamptz NOT NULL,
    inserted       int         NOT NULL,
    revised        int         NOT NULL,
    unchanged      int         NOT NULL,
    first_ts       timestamptz NOT NULL,
    last_ts        timestamptz NOT NULL,
    instruments    int         NOT NULL,
    origin         text        NOT NULL
);
CREATE INDEX IF NOT EXISTS publication_known_at ON ops.publication (timeframe, known_at);
COMMENT ON TABLE ops.publication IS 'every publishing transaction that changed something';
COMMENT ON COLUMN ops.publication.origin IS 'what published: ingest, roll-up, or the release of a quarantined batch';

CREATE TABLE IF NOT EXISTS ops.rollup_pending (
    timeframe     text        NOT NULL,
    instrument_id int         NOT NULL REFERENCES market.instrument,
    day           date        NOT NULL,
    noted_at      timestamptz NOT NULL,
    PRIMARY KEY (timeframe, instrument_id, day)
);
COMMENT ON COLUMN ops.rollup_pending.noted_at IS 'when the day became stale first';
COMMENT ON TABLE ops.rollup_pending IS 'days on which bars of a base timeframe changed and what derives from them was not computed since';

CREATE TABLE IF NOT EXISTS ops.quarantine (
    quarantine_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instrument_id  int         NOT NULL REFERENCES market.instrument,
    timeframe      text        NOT NULL,
    window_key     text        NOT NULL,
    kind           text        NOT NULL CHECK (kind IN ('batch', 'rows')),
    provider       text        NOT NULL,
    reason         text        NOT NULL,
    checks         jsonb       NOT NULL,
    row_count      int         NOT NULL,
    digest         bytea       NOT NULL,
    bars           bytea       NOT NULL,
    arrived_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    released_at    timestamptz,
    release_reason text,
    good_rows_only boolean     NOT NULL DEFAULT false,
    UNIQUE (instrument_id, timeframe, digest),
    CHECK ((released_at IS NULL) = (release_reason IS NULL))
);
COMMENT ON TABLE ops.quarantine IS 'what the gate rejected, with its reason, until a person releases it';
COMMENT ON COLUMN ops.quarantine.good_rows_only IS 'released were only the rows that broke no rule of their own';
COMMENT ON COLUMN ops.quarantine.bars IS 'the rejected rows as an Arrow IPC stream, each with its reasons';
COMMENT ON COLUMN ops.quarantine.digest IS 'of the rows'' values: the same rejects again are the same entry';
