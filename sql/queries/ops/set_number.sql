-- Has a numbered column of a table go on after a number, or begin anew where that is null.
--
-- table: with its schema. column: its name. last: the number
SELECT setval(pg_get_serial_sequence(:'table', :'column'), coalesce(:'last'::bigint, 1), :'last'::bigint IS NOT NULL)
