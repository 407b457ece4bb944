-- Bytes and the planner's estimate of rows of every hypertable of bars, over its chunks, compressed rows included.
--
-- chunks_detailed_size, approximate_row_count: TimescaleDB's functions
SELECT h.hypertable_name::text AS name, s.bytes, :approximate_row_count(t.oid) AS estimate
FROM timescaledb_information.hypertables AS h
CROSS JOIN LATERAL (SELECT format('market.%I', h.hypertable_name)::regclass) AS t (oid)
CROSS JOIN LATERAL (
    SELECT coalesce(sum(total_bytes), 0)::int8 AS bytes FROM :chunks_detailed_size(t.oid)
) AS s
WHERE h.hypertable_schema = 'market' AND h.hypertable_name = ANY(:'tables')
