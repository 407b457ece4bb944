-- The bars before and after a range of bars, of each instrument that has any.
--
-- bars: their table; ids, firsts, lasts: for each instrument the start of its first and its last bar, parallel arrays; past: how many before
SELECT b.instrument_id, b.ts, b.open, b.high, b.low, b.close, b.volume
FROM unnest(:'ids'::int4[], :'firsts'::timestamptz[], :'lasts'::timestamptz[]) AS w (instrument_id, first, last)
CROSS JOIN LATERAL (
    (SELECT * FROM :bars AS x WHERE x.instrument_id = w.instrument_id AND x.ts < w.first ORDER BY x.ts DESC LIMIT :'past')
    UNION ALL
    (SELECT * FROM :bars AS x WHERE x.instrument_id = w.instrument_id AND x.ts > w.last ORDER BY x.ts LIMIT 1)
) AS b
