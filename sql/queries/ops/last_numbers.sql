-- The last number that each of some numbered columns of tables gave, in their order, or null where one gave none.
--
-- tables: with their schemas. columns: their names
SELECT last_value
FROM unnest(:'tables'::text[], :'columns'::text[]) WITH ORDINALITY AS numbered (name, "column", position)
LEFT JOIN pg_sequences
    ON format('%I.%I', schemaname, sequencename)::regclass = pg_get_serial_sequence(name, "column")::regclass
ORDER BY position
