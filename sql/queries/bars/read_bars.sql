-- The present values of bars that start in [first, last) and are wanted.
SELECT :columns
FROM :bars AS b
WHERE b.ts >= :'first' AND b.ts < :'last' AND :wanted
ORDER BY b.instrument_id, b.ts
