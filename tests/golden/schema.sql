CREATE SCHEMA market;

COMMENT ON SCHEMA market IS 'What was traded: instruments, bars and their revisions';

CREATE SCHEMA ops;

COMMENT ON SCHEMA ops IS 'How it got here: coverage, quarantine, publications, pending roll-ups';

CREATE TABLE market.bars_15m (
    ts timestamp with time zone NOT NULL,
    known_at timestamp with time zone NOT NULL,
    open double precision NOT NULL,
    high double precision NOT NULL,
    low double precision NOT NULL,
    close double precision NOT NULL,
    volume double precision,
    vwap double precision,
    instrument_id integer NOT NULL,
    trades integer,
    source smallint NOT NULL
)
PARTITION BY RANGE (ts);

COMMENT ON COLUMN market.bars_15m.ts IS 'start of the bar, UTC; from a day up, 00:00 UTC of its first session''s date';

COMMENT ON COLUMN market.bars_15m.known_at IS 'when these values were learned';

CREATE TABLE market.bars_1d (
    ts timestamp with time zone NOT NULL,
    known_at timestamp with time zone NOT NULL,
    open double precision NOT NULL,
    high double precision NOT NULL,
    low double precision NOT NULL,
    close double precision NOT NULL,
    volume double precision,
    vwap double precision,
    instrument_id integer NOT NULL,
    trades integer,
    source smallint NOT NULL
)
PARTITION BY RANGE (ts);

COMMENT ON COLUMN market.bars_1d.ts IS 'start of the bar, UTC; from a day up, 00:00 UTC of its first session''s date';

COMMENT ON COLUMN market.bars_1d.known_at IS 'when these values were learned';

CREATE TABLE market.bars_1h (
    ts timestamp with time zone NOT NULL,
    known_at timestamp with time zone NOT NULL,
    open double precision NOT NULL,
    high double precision NOT NULL,
    low double precision NOT NULL,
    close double precision NOT NULL,
    volume double precision,
    vwap double precision,
    instrument_id integer NOT NULL,
    trades integer,
    source smallint NOT NULL
)
PARTITION BY RANGE (ts);

COMMENT ON COLUMN market.bars_1h.ts IS 'start of the bar, UTC; from a day up, 00:00 UTC of its first session''s date';

COMMENT ON COLUMN market.bars_1h.known_at IS 'when these values were learned';

CREATE TABLE market.bars_1m (
    ts timestamp with time zone NOT NULL,
    known_at timestamp with time zone NOT NULL,
    open double precision NOT NULL,
    high double precision NOT NULL,
    low double precision NOT NULL,
    close double precision NOT NULL,
    volume double precision,
    vwap double precision,
    instrument_id integer NOT NULL,
    trades integer,
    source smallint NOT NULL
)
PARTITION BY RANGE (ts);

COMMENT ON COLUMN market.bars_1m.ts IS 'start of the bar, UTC; from a day up, 00:00 UTC of its first session''s date';

COMMENT ON COLUMN market.bars_1m.known_at IS 'when these values were learned';

CREATE TABLE market.bars_1mo (
    ts timestamp with time zone NOT NULL,
    known_at timestamp with time zone NOT NULL,
    open double precision NOT NULL,
    high double precision NOT NULL,
    low double precision NOT NULL,
    close double precision NOT NULL,
    volume double precision,
    vwap double precision,
    instrument_id integer NOT NULL,
    trades integer,
    source smallint NOT NULL
)
PARTITION BY RANGE (ts);

COMMENT ON COLUMN market.bars_1mo.ts IS 'start of the bar, UTC; from a day up, 00:00 UTC of its first session''s date';

COMMENT ON COLUMN market.bars_1mo.known_at IS 'when these values were learned';

CREATE TABLE market.bars_1w (
    ts timestamp with time zone NOT NULL,
    known_at timestamp with time zone NOT NULL,
    open double precision NOT NULL,
    high double precision NOT NULL,
    low double precision NOT NULL,
    close double precision NOT NULL,
    volume double precision,
    vwap double precision,
    instrument_id integer NOT NULL,
    trades integer,
    source smallint NOT NULL
)
PARTITION BY RANGE (ts);

COMMENT ON COLUMN market.bars_1w.ts IS 'start of the bar, UTC; from a day up, 00:00 UTC of its first session''s date';

COMMENT ON COLUMN market.bars_1w.known_at IS 'when these values were learned';

CREATE TABLE market.bars_30m (
    ts timestamp with time zone NOT NULL,
    known_at timestamp with time zone NOT NULL,
    open double precision NOT NULL,
    high double precision NOT NULL,
    low double precision NOT NULL,
    close double precision NOT NULL,
    volume double precision,
    vwap double precision,
    instrument_id integer NOT NULL,
    trades integer,
    source smallint NOT NULL
)
PARTITION BY RANGE (ts);

COMMENT ON COLUMN market.bars_30m.ts IS 'start of the bar, UTC; from a day up, 00:00 UTC of its first session''s date';

COMMENT ON COLUMN market.bars_30m.known_at IS 'when these values were learned';

CREATE TABLE market.bars_4h (
    ts timestamp with time zone NOT NULL,
    known_at timestamp with time zone NOT NULL,
    open double precision NOT NULL,
    high double precision NOT NULL,
    low double precision NOT NULL,
    close double precision NOT NULL,
    volume double precision,
    vwap double precision,
    instrument_id integer NOT NULL,
    trades integer,
    source smallint NOT NULL
)
PARTITION BY RANGE (ts);

COMMENT ON COLUMN market.bars_4h.ts IS 'start of the bar, UTC; from a day up, 00:00 UTC of its first session''s date';

COMMENT ON COLUMN market.bars_4h.known_at IS 'when these values were learned';

CREATE TABLE market.bars_5m (
    ts timestamp with time zone NOT NULL,
    known_at timestamp with time zone NOT NULL,
    open double precision NOT NULL,
    high double precision NOT NULL,
    low double precision NOT NULL,
    close double precision NOT NULL,
    volume double precision,
    vwap double precision,
    instrument_id integer NOT NULL,
    trades integer,
    source smallint NOT NULL
)
PARTITION BY RANGE (ts);

COMMENT ON COLUMN market.bars_5m.ts IS 'start of the bar, UTC; from a day up, 00:00 UTC of its first session''s date';

COMMENT ON COLUMN market.bars_5m.known_at IS 'when these values were learned';

CREATE TABLE market.bars_revision (
    ts timestamp with time zone NOT NULL,
    known_at timestamp with time zone NOT NULL,
    superseded_at timestamp with time zone NOT NULL,
    open double precision NOT NULL,
    high double precision NOT NULL,
    low double precision NOT NULL,
    close double precision NOT NULL,
    volume double precision,
    vwap double precision,
    instrument_id integer NOT NULL,
    trades integer,
    source smallint NOT NULL,
    timeframe text NOT NULL,
    CONSTRAINT bars_revision_check CHECK ((superseded_at > known_at))
);

COMMENT ON TABLE market.bars_revision IS 'earlier values of restated bars, believed from known_at until superseded_at';

CREATE TABLE market.corporate_action (
    instrument_id integer NOT NULL,
    ex_date date NOT NULL,
    kind text NOT NULL,
    amount numeric NOT NULL,
    source text NOT NULL,
    known_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    superseded_at timestamp with time zone DEFAULT 'infinity'::timestamp with time zone NOT NULL,
    CONSTRAINT corporate_action_amount_check CHECK ((amount > (0)::numeric)),
    CONSTRAINT corporate_action_check CHECK ((superseded_at > known_at)),
    CONSTRAINT corporate_action_kind_check CHECK ((kind = ANY (ARRAY['split'::text, 'dividend'::text])))
);

COMMENT ON COLUMN market.corporate_action.amount IS 'split: new shares per old; dividend: currency per share as traded';

CREATE TABLE market.halt (
    instrument_id integer NOT NULL,
    start_ts timestamp with time zone NOT NULL,
    end_ts timestamp with time zone NOT NULL,
    reason text NOT NULL,
    CONSTRAINT halt_check CHECK ((start_ts < end_ts))
);

COMMENT ON TABLE market.halt IS 'when trading in an instrument was halted, [start_ts, end_ts)';

CREATE TABLE market.instrument (
    instrument_id integer NOT NULL,
    symbol text NOT NULL,
    asset_class text NOT NULL,
    calendar text NOT NULL,
    provider text NOT NULL,
    timeframes text[] NOT NULL,
    name text,
    listed date,
    delisted date,
    in_universe boolean,
    CONSTRAINT instrument_check CHECK ((delisted > listed)),
    CONSTRAINT instrument_symbol_check CHECK (((symbol ~ '^\^?[A-Za-z0-9._/:-]+(=[A-Za-z0-9]{0,2})?$'::text) AND (length(symbol) <= 32)))
);

COMMENT ON COLUMN market.instrument.symbol IS 'canonical ticker; other tickers of the instrument are dated aliases';

COMMENT ON COLUMN market.instrument.timeframes IS 'the ingested timeframes that schedules keep up to date';

COMMENT ON COLUMN market.instrument.in_universe IS 'whether universe.yaml lists it; false: no longer; null: it never did, a command registered it';

ALTER TABLE market.instrument ALTER COLUMN instrument_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME market.instrument_instrument_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE market.source (
    source_id smallint NOT NULL,
    name text NOT NULL
);

COMMENT ON COLUMN market.source.name IS 'kind of provider, its own name where that is another, and feed: alpaca:sip, files:backup';

CREATE TABLE ops.bar_window (
    timeframe text NOT NULL,
    instrument_id integer NOT NULL,
    start date NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    archived_change timestamp with time zone,
    manifest_id bigint,
    cold boolean DEFAULT false NOT NULL,
    keep_until timestamp with time zone,
    sources smallint[],
    recorded_change timestamp with time zone,
    CONSTRAINT bar_window_check CHECK (((manifest_id IS NULL) = (archived_change IS NULL))),
    CONSTRAINT bar_window_check1 CHECK ((cold = (sources IS NOT NULL))),
    CONSTRAINT bar_window_check2 CHECK (((NOT cold) OR ((manifest_id IS NOT NULL) AND (archived_change = changed_at))))
);

COMMENT ON TABLE ops.bar_window IS 'the life of each month (of bars within a day) or year (of others) of an instrument''s bars; those of derived bars are never archived';

COMMENT ON COLUMN ops.bar_window.changed_at IS 'known_at of the last publication that changed a bar of it';

COMMENT ON COLUMN ops.bar_window.archived_change IS 'changed_at of what the file holds; the file is current while they are equal';

COMMENT ON COLUMN ops.bar_window.cold IS 'the lake answers for it, and the store holds none of its bars that anybody may read';

COMMENT ON COLUMN ops.bar_window.keep_until IS 'restored by a person: retention leaves it alone until then';

COMMENT ON COLUMN ops.bar_window.sources IS 'of its bars, while it is cold';

COMMENT ON COLUMN ops.bar_window.recorded_change IS 'changed_at of what the orchestrator is known to have on record; null: it is not known';

CREATE VIEW market.ohlcv AS
 SELECT b.ts,
    i.symbol,
    b.timeframe,
    b.open,
    b.high,
    b.low,
    b.close,
    b.volume,
    b.vwap,
    b.trades,
    s.name AS source,
    b.known_at
   FROM ((( SELECT m.ts,
            m.known_at,
            m.open,
            m.high,
            m.low,
            m.close,
            m.volume,
            m.vwap,
            m.instrument_id,
            m.trades,
            m.source,
            '1m'::text AS timeframe
           FROM market.bars_1m m
          WHERE (NOT (EXISTS ( SELECT
                   FROM ops.bar_window w
                  WHERE ((w.timeframe = '1m'::text) AND w.cold AND (w.instrument_id = m.instrument_id) AND (w.start = (date_trunc('month'::text, (m.ts AT TIME ZONE 'UTC'::text)))::date)))))
        UNION ALL
         SELECT bars_5m.ts,
            bars_5m.known_at,
            bars_5m.open,
            bars_5m.high,
            bars_5m.low,
            bars_5m.close,
            bars_5m.volume,
            bars_5m.vwap,
            bars_5m.instrument_id,
            bars_5m.trades,
            bars_5m.source,
            '5m'::text
           FROM market.bars_5m
        UNION ALL
         SELECT bars_15m.ts,
            bars_15m.known_at,
            bars_15m.open,
            bars_15m.high,
            bars_15m.low,
            bars_15m.close,
            bars_15m.volume,
            bars_15m.vwap,
            bars_15m.instrument_id,
            bars_15m.trades,
            bars_15m.source,
            '15m'::text
           FROM market.bars_15m
        UNION ALL
         SELECT bars_30m.ts,
            bars_30m.known_at,
            bars_30m.open,
            bars_30m.high,
            bars_30m.low,
            bars_30m.close,
            bars_30m.volume,
            bars_30m.vwap,
            bars_30m.instrument_id,
            bars_30m.trades,
            bars_30m.source,
            '30m'::text
           FROM market.bars_30m
        UNION ALL
         SELECT bars_1h.ts,
            bars_1h.known_at,
            bars_1h.open,
            bars_1h.high,
            bars_1h.low,
            bars_1h.close,
            bars_1h.volume,
            bars_1h.vwap,
            bars_1h.instrument_id,
            bars_1h.trades,
            bars_1h.source,
            '1h'::text
           FROM market.bars_1h
        UNION ALL
         SELECT bars_4h.ts,
            bars_4h.known_at,
            bars_4h.open,
            bars_4h.high,
            bars_4h.low,
            bars_4h.close,
            bars_4h.volume,
            bars_4h.vwap,
            bars_4h.instrument_id,
            bars_4h.trades,
            bars_4h.source,
            '4h'::text
           FROM market.bars_4h
        UNION ALL
         SELECT d.ts,
            d.known_at,
            d.open,
            d.high,
            d.low,
            d.close,
            d.volume,
            d.vwap,
            d.instrument_id,
            d.trades,
            d.source,
            '1d'::text
           FROM market.bars_1d d
          WHERE (NOT (EXISTS ( SELECT
                   FROM ops.bar_window w
                  WHERE ((w.timeframe = '1d'::text) AND w.cold AND (w.instrument_id = d.instrument_id) AND (w.start = (date_trunc('year'::text, (d.ts AT TIME ZONE 'UTC'::text)))::date)))))
        UNION ALL
         SELECT bars_1w.ts,
            bars_1w.known_at,
            bars_1w.open,
            bars_1w.high,
            bars_1w.low,
            bars_1w.close,
            bars_1w.volume,
            bars_1w.vwap,
            bars_1w.instrument_id,
            bars_1w.trades,
            bars_1w.source,
            '1w'::text
           FROM market.bars_1w
        UNION ALL
         SELECT bars_1mo.ts,
            bars_1mo.known_at,
            bars_1mo.open,
            bars_1mo.high,
            bars_1mo.low,
            bars_1mo.close,
            bars_1mo.volume,
            bars_1mo.vwap,
            bars_1mo.instrument_id,
            bars_1mo.trades,
            bars_1mo.source,
            '1mo'::text
           FROM market.bars_1mo) b
     JOIN market.instrument i USING (instrument_id))
     JOIN market.source s ON ((s.source_id = b.source)));

COMMENT ON VIEW market.ohlcv IS 'every bar''s present values, for people and dashboards that speak SQL; nothing of a window that left the store';

CREATE TABLE ops.quarantine (
    quarantine_id bigint NOT NULL,
    instrument_id integer NOT NULL,
    timeframe text NOT NULL,
    window_key text NOT NULL,
    kind text NOT NULL,
    provider text NOT NULL,
    reason text NOT NULL,
    checks jsonb NOT NULL,
    row_count integer NOT NULL,
    digest bytea NOT NULL,
    bars bytea NOT NULL,
    arrived_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    released_at timestamp with time zone,
    release_reason text,
    good_rows_only boolean DEFAULT false NOT NULL,
    sessions datemultirange NOT NULL,
    replaced datemultirange DEFAULT '{}'::datemultirange NOT NULL,
    landing_id bigint,
    run_id text,
    rules text,
    released_by text,
    requested_at timestamp with time zone,
    request_start timestamp with time zone,
    request_end timestamp with time zone,
    file text,
    CONSTRAINT quarantine_check CHECK (((released_at IS NULL) = (release_reason IS NULL))),
    CONSTRAINT quarantine_check1 CHECK (((released_by IS NULL) OR (released_at IS NOT NULL))),
    CONSTRAINT quarantine_kind_check CHECK ((kind = ANY (ARRAY['batch'::text, 'rows'::text])))
);

COMMENT ON TABLE ops.quarantine IS 'what the gate rejected, with its reason, until a person releases it';

COMMENT ON COLUMN ops.quarantine.digest IS 'of the rows'' values: the same rejects again are the same entry';

COMMENT ON COLUMN ops.quarantine.bars IS 'the rejected rows as an Arrow IPC stream, each with its reasons';

COMMENT ON COLUMN ops.quarantine.good_rows_only IS 'released were only the rows that broke no rule of their own';

COMMENT ON COLUMN ops.quarantine.sessions IS 'of the rejected rows, less those of extended hours';

COMMENT ON COLUMN ops.quarantine.replaced IS 'sessions of which the same provider sent something else since; of the others its rows are the last word';

COMMENT ON COLUMN ops.quarantine.landing_id IS 'the answer in the landing zone that the rows came with first';

COMMENT ON COLUMN ops.quarantine.run_id IS 'the orchestrator''s number of the run in which they were rejected first';

COMMENT ON COLUMN ops.quarantine.rules IS 'version of the rules by which they were';

COMMENT ON COLUMN ops.quarantine.released_by IS 'name of the person who released them';

COMMENT ON COLUMN ops.quarantine.requested_at IS 'when the request was sent that the rows came with first';

COMMENT ON COLUMN ops.quarantine.request_start IS 'what was requested begins here, inclusive';

COMMENT ON COLUMN ops.quarantine.request_end IS 'and ends here, exclusive';

COMMENT ON COLUMN ops.quarantine.file IS 'the file that the rows were read from; null where they came from no file';

CREATE TABLE ops.released_bar (
    instrument_id integer NOT NULL,
    timeframe text NOT NULL,
    ts timestamp with time zone NOT NULL,
    known_at timestamp with time zone NOT NULL,
    quarantine_id bigint NOT NULL,
    broken text[] NOT NULL
);

COMMENT ON TABLE ops.released_bar IS 'bars that broke a rule of the gate and that a person released; known_at tells the value from later ones';

COMMENT ON COLUMN ops.released_bar.broken IS 'the rules that it broke';

CREATE VIEW market.released_bar AS
 SELECT i.symbol,
    b.timeframe,
    b.ts,
    b.known_at,
    b.broken,
    q.quarantine_id,
    q.released_at,
    q.released_by,
    q.release_reason
   FROM ((ops.released_bar b
     JOIN ops.quarantine q USING (quarantine_id))
     JOIN market.instrument i ON ((i.instrument_id = b.instrument_id)));

COMMENT ON VIEW market.released_bar IS 'bars that broke a rule of the gate, and who released them and why; to join by symbol, ts and known_at';

CREATE TABLE market.session (
    calendar text NOT NULL,
    session date NOT NULL,
    open timestamp with time zone NOT NULL,
    close timestamp with time zone NOT NULL,
    version text NOT NULL,
    break_start timestamp with time zone,
    break_end timestamp with time zone,
    CONSTRAINT session_break_check CHECK ((((break_start IS NULL) = (break_end IS NULL)) AND (open < break_start) AND (break_start < break_end) AND (break_end < close))),
    CONSTRAINT session_check CHECK ((close > open))
);

COMMENT ON COLUMN market.session.close IS 'first instant after trading';

COMMENT ON COLUMN market.session.break_start IS 'first instant of the break within the session; null where it has none';

COMMENT ON COLUMN market.session.break_end IS 'first instant after the break';

ALTER TABLE market.source ALTER COLUMN source_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME market.source_source_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE market.symbol_alias (
    ticker text NOT NULL,
    valid_from date DEFAULT '-infinity'::date NOT NULL,
    valid_until date DEFAULT 'infinity'::date NOT NULL,
    instrument_id integer NOT NULL,
    CONSTRAINT symbol_alias_check CHECK ((valid_until > valid_from))
);

COMMENT ON COLUMN market.symbol_alias.valid_until IS 'first day on which the ticker no longer named the instrument';

CREATE TABLE ops.aggregate_pending (
    instrument_id integer NOT NULL,
    day date NOT NULL,
    noted_by xid8 DEFAULT pg_current_xact_id() NOT NULL
);

COMMENT ON TABLE ops.aggregate_pending IS 'days whose minute bars changed and that no continuous aggregate was refreshed for since';

COMMENT ON COLUMN ops.aggregate_pending.noted_by IS 'the transaction: a refresh takes off the list what was there before it began';

CREATE TABLE ops.coverage (
    instrument_id integer NOT NULL,
    timeframe text NOT NULL,
    session date NOT NULL,
    present integer NOT NULL,
    outside integer NOT NULL,
    first_ts timestamp with time zone NOT NULL,
    last_ts timestamp with time zone NOT NULL,
    missing_start timestamp with time zone,
    missing_slots integer,
    derived boolean DEFAULT false NOT NULL,
    by_hour smallint[]
);

COMMENT ON TABLE ops.coverage IS 'what is there of each session of intraday bars; daily bars are their own coverage';

COMMENT ON COLUMN ops.coverage.present IS 'bars that start while the session is open';

COMMENT ON COLUMN ops.coverage.outside IS 'bars of extended hours, counted with the nearest session';

COMMENT ON COLUMN ops.coverage.missing_start IS 'where the longest run of slots without a bar begins; null where there is none, or not measured';

COMMENT ON COLUMN ops.coverage.missing_slots IS 'how many slots it has; null: bars came since it was measured';

COMMENT ON COLUMN ops.coverage.derived IS 'of a day: rolled up from minutes, because no provider gave it';

COMMENT ON COLUMN ops.coverage.by_hour IS 'bars in each hour since the session''s open; null where every minute has one, or not counted yet';

CREATE TABLE ops.finalized (
    instrument_id integer NOT NULL,
    timeframe text NOT NULL,
    final_at timestamp with time zone NOT NULL,
    sessions datemultirange NOT NULL
);

COMMENT ON TABLE ops.finalized IS 'when sessions became final, so that a read as of a time knows which were';

CREATE TABLE ops.finding (
    finding_id bigint NOT NULL,
    instrument_id integer NOT NULL,
    timeframe text NOT NULL,
    rule text NOT NULL,
    scope text NOT NULL,
    spans tstzmultirange NOT NULL,
    evidence jsonb NOT NULL,
    state text DEFAULT 'open'::text NOT NULL,
    found_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    closed_at timestamp with time zone,
    closed_by text,
    reason text,
    CONSTRAINT finding_check CHECK (((state = 'open'::text) = (closed_at IS NULL))),
    CONSTRAINT finding_check1 CHECK (((closed_at IS NULL) = (closed_by IS NULL))),
    CONSTRAINT finding_spans_check CHECK ((NOT isempty(spans))),
    CONSTRAINT finding_state_check CHECK ((state = ANY (ARRAY['open'::text, 'confirmed'::text, 'dismissed'::text])))
);

COMMENT ON TABLE ops.finding IS 'what the gate or a check noticed and did not reject, until evidence or a person closes it';

COMMENT ON COLUMN ops.finding.scope IS 'what it is about: a window (2024, 2024-01), or the start of a bar';

COMMENT ON COLUMN ops.finding.spans IS 'the times that it is about, half-open';

COMMENT ON COLUMN ops.finding.evidence IS 'what was seen, for a person';

COMMENT ON COLUMN ops.finding.closed_by IS 'the person who closed it, or gate where later bars did';

ALTER TABLE ops.finding ALTER COLUMN finding_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ops.finding_finding_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ops.lake (
    is_only boolean DEFAULT true NOT NULL,
    lake_id uuid NOT NULL,
    root text NOT NULL,
    marked boolean DEFAULT false NOT NULL,
    found_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT lake_is_only_check CHECK (is_only)
);

COMMENT ON TABLE ops.lake IS 'the one lake that holds the files of the manifest';

COMMENT ON COLUMN ops.lake.lake_id IS 'which the file lake.json of that lake holds too';

COMMENT ON COLUMN ops.lake.root IS 'where it was when it was found first, for a person';

COMMENT ON COLUMN ops.lake.marked IS 'whether that file was written';

CREATE TABLE ops.landing (
    landing_id bigint NOT NULL,
    provider text NOT NULL,
    timeframe text NOT NULL,
    symbols text[] NOT NULL,
    start_ts timestamp with time zone NOT NULL,
    end_ts timestamp with time zone NOT NULL,
    fetched_at timestamp with time zone NOT NULL,
    row_count integer NOT NULL,
    path text NOT NULL,
    checksum bytea NOT NULL,
    writer integer NOT NULL,
    processed_at timestamp with time zone,
    deleted_at timestamp with time zone
);

COMMENT ON TABLE ops.landing IS 'what providers answered, before the gate audited it; a file in the landing zone each';

COMMENT ON COLUMN ops.landing.start_ts IS 'what was asked for begins here, inclusive';

COMMENT ON COLUMN ops.landing.end_ts IS 'and ends here, exclusive';

COMMENT ON COLUMN ops.landing.writer IS 'number of the run that fetched it, which holds an advisory lock of that number while it works';

COMMENT ON COLUMN ops.landing.processed_at IS 'when it was audited, and published or quarantined; null: it still has to be';

COMMENT ON COLUMN ops.landing.deleted_at IS 'when the file was deleted because of its age; the row stays as the record of the request';

ALTER TABLE ops.landing ALTER COLUMN landing_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ops.landing_landing_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ops.manifest (
    manifest_id bigint NOT NULL,
    timeframe text NOT NULL,
    instrument_id integer,
    start date NOT NULL,
    until date NOT NULL,
    version integer NOT NULL,
    path text NOT NULL,
    bytes bigint NOT NULL,
    footer_digest bytea NOT NULL,
    row_count bigint NOT NULL,
    digest bytea NOT NULL,
    revisions jsonb,
    written_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    verified_at timestamp with time zone NOT NULL,
    retired_at timestamp with time zone,
    deleted_at timestamp with time zone,
    CONSTRAINT manifest_check CHECK ((until > start)),
    CONSTRAINT manifest_check1 CHECK ((deleted_at >= retired_at)),
    CONSTRAINT manifest_version_check CHECK ((version > 0))
);

COMMENT ON TABLE ops.manifest IS 'files of the lake; a retired one was replaced by a later version, and is deleted after a grace period';

COMMENT ON COLUMN ops.manifest.instrument_id IS 'whose bars; null where a file holds those of every instrument';

COMMENT ON COLUMN ops.manifest.path IS 'below the lake''s root';

COMMENT ON COLUMN ops.manifest.footer_digest IS 'SHA-256 of the Parquet footer, by which a reader tells that the file is the one that was written';

COMMENT ON COLUMN ops.manifest.digest IS 'SHA-256 over the values, in the order of their keys';

COMMENT ON COLUMN ops.manifest.revisions IS 'path, size in bytes, footer_digest, row_count and digest of the file of the earlier values, where there are any';

ALTER TABLE ops.manifest ALTER COLUMN manifest_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ops.manifest_manifest_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ops.publication (
    publication_id bigint NOT NULL,
    timeframe text NOT NULL,
    known_at timestamp with time zone NOT NULL,
    inserted integer NOT NULL,
    revised integer NOT NULL,
    unchanged integer NOT NULL,
    first_ts timestamp with time zone NOT NULL,
    last_ts timestamp with time zone NOT NULL,
    instruments integer NOT NULL,
    origin text NOT NULL,
    instrument_ids integer[],
    calendars text[],
    run_id text,
    rules text,
    provider text,
    requested_at timestamp with time zone,
    request_start timestamp with time zone,
    request_end timestamp with time zone,
    landing_ids bigint[],
    quarantine_ids bigint[],
    files jsonb
);

COMMENT ON TABLE ops.publication IS 'every publishing transaction that changed something';

COMMENT ON COLUMN ops.publication.origin IS 'what published: ingest, roll-up, or the release of a quarantined batch';

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

COMMENT ON COLUMN ops.publication.files IS 'by symbol, the file that its bars were read from; null where they came from no file';

ALTER TABLE ops.publication ALTER COLUMN publication_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ops.publication_publication_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE ops.quarantine ALTER COLUMN quarantine_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ops.quarantine_quarantine_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ops.rate_limit (
    name text CONSTRAINT call_budget_budget_not_null NOT NULL,
    due timestamp with time zone CONSTRAINT call_budget_due_not_null NOT NULL,
    paused_until timestamp with time zone
);

COMMENT ON TABLE ops.rate_limit IS 'when the next call to a provider may be made, over all processes, by key';

COMMENT ON COLUMN ops.rate_limit.name IS 'kind of provider, and a digest of its key';

COMMENT ON COLUMN ops.rate_limit.paused_until IS 'until when the provider wants no call at all';

CREATE TABLE ops.requested (
    instrument_id integer CONSTRAINT asked_instrument_id_not_null NOT NULL,
    timeframe text CONSTRAINT asked_timeframe_not_null NOT NULL,
    sessions datemultirange CONSTRAINT asked_sessions_not_null NOT NULL,
    final datemultirange CONSTRAINT asked_final_not_null NOT NULL,
    calendar text CONSTRAINT asked_calendar_not_null NOT NULL
);

COMMENT ON TABLE ops.requested IS 'the sessions that were requested from a provider who answered, whatever the answer was';

COMMENT ON COLUMN ops.requested.final IS 'those requested after they had settled: the provider changes them no more by itself';

COMMENT ON COLUMN ops.requested.calendar IS 'the calendar, and the version of its rules, by which the sessions were determined last';

CREATE TABLE ops.retry_schedule (
    instrument_id integer CONSTRAINT gap_instrument_id_not_null NOT NULL,
    timeframe text CONSTRAINT gap_timeframe_not_null NOT NULL,
    session date CONSTRAINT gap_session_not_null NOT NULL,
    launches integer DEFAULT 1 CONSTRAINT gap_launches_not_null NOT NULL,
    tries integer DEFAULT 0 CONSTRAINT gap_tries_not_null NOT NULL,
    next_try timestamp with time zone CONSTRAINT gap_next_try_not_null NOT NULL,
    confirmed_at timestamp with time zone
);

COMMENT ON TABLE ops.retry_schedule IS 'sessions that are requested again, and when';

COMMENT ON COLUMN ops.retry_schedule.launches IS 'how often it was about to be requested again';

COMMENT ON COLUMN ops.retry_schedule.tries IS 'how often the provider answered since then';

COMMENT ON COLUMN ops.retry_schedule.next_try IS 'it is not requested again before';

COMMENT ON COLUMN ops.retry_schedule.confirmed_at IS 'when the provider had answered often enough for what is missing not to exist';

CREATE TABLE ops.rollup_pending (
    timeframe text NOT NULL,
    instrument_id integer NOT NULL,
    day date NOT NULL,
    noted_at timestamp with time zone NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    next_try timestamp with time zone,
    error text
);

COMMENT ON TABLE ops.rollup_pending IS 'days on which bars of a base timeframe changed and what derives from them was not computed since';

COMMENT ON COLUMN ops.rollup_pending.noted_at IS 'when the day became stale first';

COMMENT ON COLUMN ops.rollup_pending.failures IS 'how often rolling the day up failed';

COMMENT ON COLUMN ops.rollup_pending.next_try IS 'it is not tried again by itself before; null where it did not fail';

COMMENT ON COLUMN ops.rollup_pending.error IS 'why it failed the last time';

CREATE TABLE ops.schema_version (
    version_num character varying(32) NOT NULL
);

CREATE TABLE ops.tiering (
    timeframe text NOT NULL,
    epoch bigint DEFAULT 0 NOT NULL
);

COMMENT ON TABLE ops.tiering IS 'epoch counts the times that windows left the store or came back: a reader that sees it change reads again';

ALTER TABLE ONLY market.bars_15m
    ADD CONSTRAINT bars_15m_pkey PRIMARY KEY (instrument_id, ts);

ALTER TABLE ONLY market.bars_1d
    ADD CONSTRAINT bars_1d_pkey PRIMARY KEY (instrument_id, ts);

ALTER TABLE ONLY market.bars_1h
    ADD CONSTRAINT bars_1h_pkey PRIMARY KEY (instrument_id, ts);

ALTER TABLE ONLY market.bars_1m
    ADD CONSTRAINT bars_1m_pkey PRIMARY KEY (instrument_id, ts);

ALTER TABLE ONLY market.bars_1mo
    ADD CONSTRAINT bars_1mo_pkey PRIMARY KEY (instrument_id, ts);

ALTER TABLE ONLY market.bars_1w
    ADD CONSTRAINT bars_1w_pkey PRIMARY KEY (instrument_id, ts);

ALTER TABLE ONLY market.bars_30m
    ADD CONSTRAINT bars_30m_pkey PRIMARY KEY (instrument_id, ts);

ALTER TABLE ONLY market.bars_4h
    ADD CONSTRAINT bars_4h_pkey PRIMARY KEY (instrument_id, ts);

ALTER TABLE ONLY market.bars_5m
    ADD CONSTRAINT bars_5m_pkey PRIMARY KEY (instrument_id, ts);

ALTER TABLE ONLY market.bars_revision
    ADD CONSTRAINT bars_revision_pkey PRIMARY KEY (timeframe, instrument_id, ts, known_at);

ALTER TABLE ONLY market.corporate_action
    ADD CONSTRAINT corporate_action_pkey PRIMARY KEY (instrument_id, ex_date, kind, known_at);

ALTER TABLE ONLY market.halt
    ADD CONSTRAINT halt_pkey PRIMARY KEY (instrument_id, start_ts);

ALTER TABLE ONLY market.instrument
    ADD CONSTRAINT instrument_pkey PRIMARY KEY (instrument_id);

ALTER TABLE ONLY market.instrument
    ADD CONSTRAINT instrument_symbol_key UNIQUE (symbol);

ALTER TABLE ONLY market.session
    ADD CONSTRAINT session_pkey PRIMARY KEY (calendar, session);

ALTER TABLE ONLY market.source
    ADD CONSTRAINT source_name_key UNIQUE (name);

ALTER TABLE ONLY market.source
    ADD CONSTRAINT source_pkey PRIMARY KEY (source_id);

ALTER TABLE ONLY market.symbol_alias
    ADD CONSTRAINT symbol_alias_pkey PRIMARY KEY (ticker, valid_from);

ALTER TABLE ONLY ops.aggregate_pending
    ADD CONSTRAINT aggregate_pending_pkey PRIMARY KEY (instrument_id, day);

ALTER TABLE ONLY ops.bar_window
    ADD CONSTRAINT bar_window_pkey PRIMARY KEY (timeframe, instrument_id, start);

ALTER TABLE ONLY ops.coverage
    ADD CONSTRAINT coverage_pkey PRIMARY KEY (instrument_id, timeframe, session);

ALTER TABLE ONLY ops.finalized
    ADD CONSTRAINT finalized_pkey PRIMARY KEY (instrument_id, timeframe, final_at);

ALTER TABLE ONLY ops.finding
    ADD CONSTRAINT finding_instrument_id_timeframe_rule_scope_key UNIQUE (instrument_id, timeframe, rule, scope);

ALTER TABLE ONLY ops.finding
    ADD CONSTRAINT finding_pkey PRIMARY KEY (finding_id);

ALTER TABLE ONLY ops.lake
    ADD CONSTRAINT lake_pkey PRIMARY KEY (is_only);

ALTER TABLE ONLY ops.landing
    ADD CONSTRAINT landing_path_key UNIQUE (path);

ALTER TABLE ONLY ops.landing
    ADD CONSTRAINT landing_pkey PRIMARY KEY (landing_id);

ALTER TABLE ONLY ops.manifest
    ADD CONSTRAINT manifest_path_key UNIQUE (path);

ALTER TABLE ONLY ops.manifest
    ADD CONSTRAINT manifest_pkey PRIMARY KEY (manifest_id);

ALTER TABLE ONLY ops.manifest
    ADD CONSTRAINT manifest_timeframe_instrument_id_start_until_version_key UNIQUE NULLS NOT DISTINCT (timeframe, instrument_id, start, until, version);

ALTER TABLE ONLY ops.publication
    ADD CONSTRAINT publication_pkey PRIMARY KEY (publication_id);

ALTER TABLE ONLY ops.quarantine
    ADD CONSTRAINT quarantine_instrument_id_timeframe_digest_key UNIQUE (instrument_id, timeframe, digest);

ALTER TABLE ONLY ops.quarantine
    ADD CONSTRAINT quarantine_pkey PRIMARY KEY (quarantine_id);

ALTER TABLE ONLY ops.rate_limit
    ADD CONSTRAINT rate_limit_pkey PRIMARY KEY (name);

ALTER TABLE ONLY ops.released_bar
    ADD CONSTRAINT released_bar_pkey PRIMARY KEY (instrument_id, timeframe, ts, known_at);

ALTER TABLE ONLY ops.requested
    ADD CONSTRAINT requested_pkey PRIMARY KEY (instrument_id, timeframe);

ALTER TABLE ONLY ops.retry_schedule
    ADD CONSTRAINT retry_schedule_pkey PRIMARY KEY (instrument_id, timeframe, session);

ALTER TABLE ONLY ops.rollup_pending
    ADD CONSTRAINT rollup_pending_pkey PRIMARY KEY (timeframe, instrument_id, day);

ALTER TABLE ONLY ops.schema_version
    ADD CONSTRAINT schema_version_pkc PRIMARY KEY (version_num);

ALTER TABLE ONLY ops.tiering
    ADD CONSTRAINT tiering_pkey PRIMARY KEY (timeframe);

CREATE INDEX bar_window_manifest ON ops.bar_window USING btree (manifest_id);

CREATE INDEX finding_open ON ops.finding USING btree (instrument_id) WHERE (state = 'open'::text);

CREATE INDEX landing_waiting ON ops.landing USING btree (provider, timeframe) WHERE (processed_at IS NULL);

CREATE INDEX publication_known_at ON ops.publication USING btree (timeframe, known_at);

ALTER TABLE ONLY market.corporate_action
    ADD CONSTRAINT corporate_action_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES market.instrument(instrument_id);

ALTER TABLE ONLY market.halt
    ADD CONSTRAINT halt_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES market.instrument(instrument_id);

ALTER TABLE ONLY market.symbol_alias
    ADD CONSTRAINT symbol_alias_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES market.instrument(instrument_id) ON DELETE CASCADE;

ALTER TABLE ONLY ops.aggregate_pending
    ADD CONSTRAINT aggregate_pending_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES market.instrument(instrument_id);

ALTER TABLE ONLY ops.bar_window
    ADD CONSTRAINT bar_window_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES market.instrument(instrument_id);

ALTER TABLE ONLY ops.bar_window
    ADD CONSTRAINT bar_window_manifest_id_fkey FOREIGN KEY (manifest_id) REFERENCES ops.manifest(manifest_id);

ALTER TABLE ONLY ops.coverage
    ADD CONSTRAINT coverage_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES market.instrument(instrument_id);

ALTER TABLE ONLY ops.finalized
    ADD CONSTRAINT finalized_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES market.instrument(instrument_id);

ALTER TABLE ONLY ops.finding
    ADD CONSTRAINT finding_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES market.instrument(instrument_id);

ALTER TABLE ONLY ops.manifest
    ADD CONSTRAINT manifest_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES market.instrument(instrument_id);

ALTER TABLE ONLY ops.quarantine
    ADD CONSTRAINT quarantine_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES market.instrument(instrument_id);

ALTER TABLE ONLY ops.released_bar
    ADD CONSTRAINT released_bar_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES market.instrument(instrument_id);

ALTER TABLE ONLY ops.released_bar
    ADD CONSTRAINT released_bar_quarantine_id_fkey FOREIGN KEY (quarantine_id) REFERENCES ops.quarantine(quarantine_id);

ALTER TABLE ONLY ops.requested
    ADD CONSTRAINT requested_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES market.instrument(instrument_id);

ALTER TABLE ONLY ops.retry_schedule
    ADD CONSTRAINT retry_schedule_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES market.instrument(instrument_id);

ALTER TABLE ONLY ops.rollup_pending
    ADD CONSTRAINT rollup_pending_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES market.instrument(instrument_id);
