-- Notes that continuous aggregates have to be refreshed for these days of these instruments.
--
-- ids, days: int4[], days since 1970-01-01; parallel arrays
INSERT INTO ops.aggregate_pending (instrument_id, day)
SELECT id, date '1970-01-01' + day FROM unnest(:'ids'::int4[], :'days'::int4[]) AS k (id, day)
ON CONFLICT (instrument_id, day) DO UPDATE SET noted_by = excluded.noted_by
