-- The chunks of a hypertable with their bounds, sizes (compressed rows too) and state, oldest first.
--
-- chunks_detailed_size: TimescaleDB's function. Bits of the state: 1 compressed, 2 and 8 with rows that are not.
SELECT format('%I.%I', c.chunk_schema, c.chunk_name) AS name, c.range_start AS start, c.range_end AS until,
       s.total_bytes AS bytes, t.state & 11 = 1 AS compressed
FROM timescaledb_information.chunks AS c
JOIN :chunks_detailed_size(format('market.%I', :'table'::text)::regclass) AS s USING (chunk_schema, chunk_name)
CROSS JOIN LATERAL _timescaledb_functions.chunk_status(format('%I.%I', c.chunk_schema, c.chunk_name)::regclass) AS t (state)
WHERE c.hypertable_schema = 'market' AND c.hypertable_name = :'table'
ORDER BY start
