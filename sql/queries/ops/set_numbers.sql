-- Has numbered columns of tables go on after a number each, or begin anew where that is null.
--
-- tables: with their schemas. columns: their names. last: the numbers
SELECT setval(pg_get_serial_sequence(name, "column"), coalesce(number, 1), number IS NOT NULL)
FROM unnest(:'tables'::text[], :'columns'::text[], :'last'::bigint[]) AS numbered (name, "column", number)
