-- The newest bar of each instrument that the store has, by instrument. Each is looked up by itself, in the index, because to sort all
-- bars takes a thousand times as long.
--
-- columns: of b, the bars; bars: the timeframe's table; ids: int4[]; last: timestamp, exclusive
SELECT :columns
FROM unnest(:'ids'::int4[]) AS r (id)
CROSS JOIN LATERAL (
    SELECT *
    FROM :bars AS p
    WHERE p.instrument_id = r.id AND p.ts < :'last'
    ORDER BY p.ts DESC
    LIMIT 1
) AS b
ORDER BY b.instrument_id
