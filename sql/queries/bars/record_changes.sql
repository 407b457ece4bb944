-- Records what publications changed: the counts of coverage, the days whose derived bars are stale, the windows that changed, and
-- the publications themselves, one for each timeframe. Days are numbers since 1970-01-01, times microseconds since then.
--
-- covered: (instrument, session, bars inside, bars outside, first bar, last bar, longest missing run, width) of newly inserted minutes, by session.
--     Where there were bars before, that run is not known until it is measured (measure_missing_runs)
-- hours: bars in each hour since the open, 24 places for each of these sessions, of which the first ``width`` count
-- stale: (publication, instrument, day). A day that is listed stays as it is: whoever takes it off waits for this transaction first,
--     because it holds the instrument's lock
-- touched: (publication, instrument, first day of the window)
-- timeframes .. instrument_ids: the publications' columns, as arrays in the same order; stale and touched count them from 1
-- instrument_ids: text[], each an int4[]. calendars, landing_ids, quarantine_ids: arrays as text; the other variables are the values of
--     columns that the publications have in common
--
-- Returns (timeframe, the publication's number) of each.

WITH covered AS (
    INSERT INTO ops.coverage AS c (instrument_id, timeframe, session, present, outside, first_ts, last_ts, missing_start, missing_slots,
                                   by_hour)
    SELECT id, '1m', date '1970-01-01' + session, present, outside,
           timestamptz 'epoch' + first * interval '1 microsecond', timestamptz 'epoch' + last * interval '1 microsecond',
           CASE WHEN slots > 0 THEN timestamptz 'epoch' + run * interval '1 microsecond' END, slots,
           CASE WHEN width > 0 THEN (:'hours'::int2[])[(24 * place - 23)::int : (24 * place - 24 + width)::int] END
    FROM unnest(:'covered'::int4[], :'session'::int4[], :'present'::int4[], :'outside'::int4[], :'first'::int8[],
                :'last'::int8[], :'missing_start'::int8[], :'missing_slots'::int4[], :'widths'::int4[]) WITH ORDINALITY
        AS n (id, session, present, outside, first, last, run, slots, width, place)
    ON CONFLICT (instrument_id, timeframe, session) DO UPDATE
    SET present = c.present + excluded.present, outside = c.outside + excluded.outside,
        first_ts = least(c.first_ts, excluded.first_ts), last_ts = greatest(c.last_ts, excluded.last_ts),
        missing_start = NULL, missing_slots = NULL, by_hour = NULL
),
stale AS (
    INSERT INTO ops.rollup_pending (timeframe, instrument_id, day, noted_at)
    SELECT (:'timeframes'::text[])[place], id, date '1970-01-01' + day, (:'known_at'::timestamptz[])[place]
    FROM unnest(:'stale_of'::int4[], :'stale'::int4[], :'day'::int4[]) AS n (place, id, day)
    ON CONFLICT (timeframe, instrument_id, day) DO NOTHING
),
touched AS (
    INSERT INTO ops.bar_window (timeframe, instrument_id, start, changed_at)
    SELECT (:'timeframes'::text[])[place], id, date '1970-01-01' + start, (:'known_at'::timestamptz[])[place]
    FROM unnest(:'touched_of'::int4[], :'touched'::int4[], :'start'::int4[]) AS n (place, id, start)
    ON CONFLICT (timeframe, instrument_id, start) DO UPDATE SET changed_at = excluded.changed_at
)
INSERT INTO ops.publication (timeframe, known_at, inserted, revised, unchanged, first_ts, last_ts, instruments, instrument_ids,
                             origin, calendars, run_id, rules, provider, requested_at, request_start, request_end,
                             files, landing_ids, quarantine_ids)
SELECT timeframe, known_at, inserted, revised, unchanged, first_ts, last_ts, instruments, instrument_ids::int4[],
       :'origin', :'calendars'::text[], :'run_id', :'rules', :'provider', :'requested_at', :'request_start', :'request_end',
       :'files'::jsonb, :'landing_ids'::int8[], :'quarantine_ids'::int8[]
FROM unnest(:'timeframes'::text[], :'known_at'::timestamptz[], :'inserted'::int4[], :'revised'::int4[], :'unchanged'::int4[],
            :'first_ts'::timestamptz[], :'last_ts'::timestamptz[], :'instruments'::int4[], :'instrument_ids'::text[])
    AS n (timeframe, known_at, inserted, revised, unchanged, first_ts, last_ts, instruments, instrument_ids)
RETURNING timeframe, publication_id
