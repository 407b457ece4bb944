-- Where the bars lie that say whether some bars are suspect: for each range of bars, its place among them, the first and last stored bar
-- around it, and the windows from there to there that left the store: all before, or after, where the store has too few.
--
-- bars: their table; timeframe: text; width: of a window, interval
-- ids, firsts, lasts: for each range the instrument and the start of its first and its last bar, parallel arrays; around: how many bars on each side
SELECT r.place, coalesce(b.first, r.first), coalesce(a.last, r.last),
       ARRAY(
           SELECT w.start
           FROM ops.bar_window AS w
           WHERE w.timeframe = :'timeframe' AND w.instrument_id = r.instrument_id AND w.cold
               AND (b.count < :'around' OR w.start > (b.first AT TIME ZONE 'UTC') - :'width'::interval)
               AND (a.count < :'around' OR w.start <= a.last AT TIME ZONE 'UTC')
           ORDER BY w.start
       )
FROM unnest(:'ids'::int4[], :'firsts'::timestamptz[], :'lasts'::timestamptz[]) WITH ORDINALITY AS r (instrument_id, first, last, place)
CROSS JOIN LATERAL (
    SELECT min(ts) AS first, count(*) AS count
    FROM (
        SELECT x.ts FROM :bars AS x WHERE x.instrument_id = r.instrument_id AND x.ts < r.first ORDER BY x.ts DESC LIMIT :'around'
    ) AS x
) AS b
CROSS JOIN LATERAL (
    SELECT max(ts) AS last, count(*) AS count
    FROM (
        SELECT x.ts FROM :bars AS x WHERE x.instrument_id = r.instrument_id AND x.ts > r.last ORDER BY x.ts LIMIT :'around'
    ) AS x
) AS a
ORDER BY r.place
