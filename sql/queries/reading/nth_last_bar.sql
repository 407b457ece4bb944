-- Start of the n-th last bar of an instrument in [first, last), or of the first where there are fewer, and how many there are up to n.
SELECT min(ts), count(*)
FROM (
    SELECT b.ts
    FROM :bars AS b
    WHERE b.instrument_id = :'instrument_id' AND b.ts >= :'first' AND b.ts < :'last'
    ORDER BY b.ts DESC
    LIMIT :'n'
) AS tail
