-- The last number that a numbered column of a table gave, or null where it gave none.
--
-- table: with its schema. column: its name
SELECT last_value
FROM pg_sequences
WHERE format('%I.%I', schemaname, sequencename)::regclass = pg_get_serial_sequence(:'table', :'column')::regclass
