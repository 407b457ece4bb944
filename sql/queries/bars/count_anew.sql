-- Enters the counts of sessions of minutes, where there are none; see record_changes.
--
-- covered: (instrument, session, bars inside, bars outside, first bar, last bar, longest missing run, width); hours: see there
INSERT INTO ops.coverage (instrument_id, timeframe, session, present, outside, first_ts, last_ts, missing_start, missing_slots, by_hour)
SELECT id, '1m', date '1970-01-01' + session, present, outside,
       timestamptz 'epoch' + first * interval '1 microsecond', timestamptz 'epoch' + last * interval '1 microsecond',
       CASE WHEN slots > 0 THEN timestamptz 'epoch' + run * interval '1 microsecond' END, slots,
           CASE WHEN width > 0 THEN (:'hours'::int2[])[(24 * place - 23)::int : (24 * place - 24 + width)::int] END
FROM unnest(:'covered'::int4[], :'session'::int4[], :'present'::int4[], :'outside'::int4[], :'first'::int8[],
            :'last'::int8[], :'missing_start'::int8[], :'missing_slots'::int4[], :'widths'::int4[]) WITH ORDINALITY
    AS n (id, session, present, outside, first, last, run, slots, width, place)
