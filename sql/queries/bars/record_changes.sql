-- Records what a publication changed: the counts of coverage, the days whose derived bars are stale, the windows that changed, and
-- the publication itself. Days are numbers since 1970-01-01, times microseconds since then.
--
-- covered: (instrument, session, bars inside, bars outside, first bar, last bar, longest missing run) of newly inserted bars, by session.
--     Where there were bars before, that run is not known until it is measured (measure_missing_runs)
-- stale: (instrument, day). A day that is listed stays as it is: whoever takes it off waits for this transaction first, because
--     it holds the instrument's lock
-- touched: (instrument, first day of the window)
-- instrument_ids, calendars, landing_ids, quarantine_ids: arrays as text; the other variables of the publication are the values of its
--     columns
--
-- Returns the publication's number.

WITH covered AS (
    INSERT INTO ops.coverage AS c (instrument_id, timeframe, session, present, outside, first_ts, last_ts, missing_start, missing_slots)
    SELECT id, :'timeframe', date '1970-01-01' + session, present, outside,
           timestamptz 'epoch' + first * interval '1 microsecond', timestamptz 'epoch' + last * interval '1 microsecond',
           CASE WHEN slots > 0 THEN timestamptz 'epoch' + run * interval '1 microsecond' END, slots
    FROM unnest(:'covered'::int4[], :'session'::int4[], :'present'::int4[], :'outside'::int4[], :'first'::int8[],
                :'last'::int8[], :'missing_start'::int8[], :'missing_slots'::int4[])
        AS n (id, session, present, outside, first, last, run, slots)
    ON CONFLICT (instrument_id, timeframe, session) DO UPDATE
    SET present = c.present + excluded.present, outside = c.outside + excluded.outside,
        first_ts = least(c.first_ts, excluded.first_ts), last_ts = greatest(c.last_ts, excluded.last_ts),
        missing_start = NULL, missing_slots = NULL
),
stale AS (
    INSERT INTO ops.rollup_pending (timeframe, instrument_id, day, noted_at)
    SELECT :'timeframe', id, date '1970-01-01' + day, :'known_at'
    FROM unnest(:'stale'::int4[], :'day'::int4[]) AS n (id, day)
    ON CONFLICT (timeframe, instrument_id, day) DO NOTHING
),
touched AS (
    INSERT INTO ops.bar_window (timeframe, instrument_id, start, changed_at)
    SELECT :'timeframe', id, date '1970-01-01' + start, :'known_at'
    FROM unnest(:'touched'::int4[], :'start'::int4[]) AS n (id, start)
    ON CONFLICT (timeframe, instrument_id, start) DO UPDATE SET changed_at = excluded.changed_at
)
INSERT INTO ops.publication (timeframe, known_at, inserted, revised, unchanged, first_ts, last_ts, instruments, origin,
                             instrument_ids, calendars, run_id, rules, provider, requested_at, request_start, request_end,
                             files, landing_ids, quarantine_ids)
VALUES (:'timeframe', :'known_at', :'inserted', :'revised', :'unchanged', :'first_ts', :'last_ts', :'instruments', :'origin',
        :'instrument_ids'::int4[], :'calendars'::text[], :'run_id', :'rules', :'provider', :'requested_at', :'request_start', :'request_end',
        :'files'::jsonb, :'landing_ids'::int8[], :'quarantine_ids'::int8[])
RETURNING publication_id
