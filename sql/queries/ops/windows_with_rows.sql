-- The windows of a table that hold rows: the window's key, how many rows, the first and the last time of them.
--
-- unit: 'month' or 'year'; form: of the key. The session's time zone is UTC.
SELECT to_char(w.start, :'form'), w.row_count, w.first, w.last
FROM (
    SELECT date_trunc(:'unit', ts) AS start, count(*) AS row_count, min(ts) AS first, max(ts) AS last
    FROM :table
    GROUP BY 1
) AS w
ORDER BY w.start
