-- Providers: the budget of calls, what was asked and when it was final, where answers landed, what is missing and why. Safe to run
-- again.

CREATE TABLE IF NOT EXISTS ops.call_budget (
    budget       text        PRIMARY KEY,
    due          timestamptz NOT NULL,
    paused_until timestamptz
);
COMMENT ON TABLE ops.call_budget IS 'when the next call to a provider may be made, over all processes, by key';
COMMENT ON COLUMN ops.call_budget.budget IS 'kind of provider, and a digest of its key';
COMMENT ON COLUMN ops.call_budget.paused_until IS 'until when the provider wants no call at all';

CREATE TABLE IF NOT EXISTS ops.landing (
    landing_id bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider   text        NOT NULL,
    timeframe  text        NOT NULL,
    symbols    text[]      NOT NULL,
    start_ts   timestamptz NOT NULL,
    end_ts     timestamptz NOT NULL,
    fetched_at timestamptz NOT NULL,
    row_count  int         NOT NULL,
    path       text        NOT NULL UNIQUE,
    checksum   bytea       NOT NULL,
    writer     int         NOT NULL,
    settled_at timestamptz
);
CREATE INDEX IF NOT EXISTS landing_waiting ON ops.landing (provider, timeframe) WHERE settled_at IS NULL;
COMMENT ON TABLE ops.landing IS 'what providers answered, before it was judged; a file in the landing zone each';
COMMENT ON COLUMN ops.landing.start_ts IS 'what was asked for begins here, inclusive';
COMMENT ON COLUMN ops.landing.end_ts IS 'and ends here, exclusive';
COMMENT ON COLUMN ops.landing.writer IS 'number of the run that fetched it, which holds an advisory lock of that number while it works';
COMMENT ON COLUMN ops.landing.settled_at IS 'when it was judged, and published or quarantined; null: it still has to be';

CREATE TABLE IF NOT EXISTS ops.asked (
    instrument_id int            NOT NULL REFERENCES market.instrument,
    timeframe     text           NOT NULL,
    sessions      datemultirange NOT NULL,
    final         datemultirange NOT NULL,
    calendar      text           NOT NULL,
    PRIMARY KEY (instrument_id, timeframe)
);
COMMENT ON TABLE ops.asked IS 'the sessions that a provider was asked for, and answered, whatever the answer was';
COMMENT ON COLUMN ops.asked.final IS 'those asked for after they had settled: the provider changes them no more by itself';
COMMENT ON COLUMN ops.asked.calendar IS 'the calendar, and the version of its rules, by which the sessions were told last';

CREATE TABLE IF NOT EXISTS ops.finalized (
    instrument_id int            NOT NULL REFERENCES market.instrument,
    timeframe     text           NOT NULL,
    final_at      timestamptz    NOT NULL,
    sessions      datemultirange NOT NULL,
    PRIMARY KEY (instrument_id, timeframe, final_at)
);
COMMENT ON TABLE ops.finalized IS 'when sessions became final, so that a read as of a time knows which were';

CREATE TABLE IF NOT EXISTS ops.gap (
    instrument_id int         NOT NULL REFERENCES market.instrument,
    timeframe     text        NOT NULL,
    session       date        NOT NULL,
    launches      int         NOT NULL DEFAULT 1,
    tries         int         NOT NULL DEFAULT 0,
    next_try      timestamptz NOT NULL,
    confirmed_at  timestamptz,
    PRIMARY KEY (instrument_id, timeframe, session)
);
COMMENT ON TABLE ops.gap IS 'sessions that healing asked for again';
COMMENT ON COLUMN ops.gap.launches IS 'how often it was to be asked for again';
COMMENT ON COLUMN ops.gap.tries IS 'how often the provider answered';
COMMENT ON COLUMN ops.gap.next_try IS 'not asked for again before';
COMMENT ON COLUMN ops.gap.confirmed_at IS 'when the provider had said often enough that there is no more';

CREATE TABLE IF NOT EXISTS market.halt (
    instrument_id int         NOT NULL REFERENCES market.instrument,
    start_ts      timestamptz NOT NULL,
    end_ts        timestamptz NOT NULL,
    reason        text        NOT NULL,
    PRIMARY KEY (instrument_id, start_ts),
    CHECK (start_ts < end_ts)
);
COMMENT ON TABLE market.halt IS 'when trading in an instrument was halted, [start_ts, end_ts)';

ALTER TABLE ops.coverage ADD COLUMN IF NOT EXISTS hole_start timestamptz;
ALTER TABLE ops.coverage ADD COLUMN IF NOT EXISTS hole_slots int;
COMMENT ON COLUMN ops.coverage.hole_start IS 'where the longest run of slots without a bar begins; null where there is none, or not measured';
COMMENT ON COLUMN ops.coverage.hole_slots IS 'how many slots it has; null: bars came since it was measured';
