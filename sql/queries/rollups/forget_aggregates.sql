-- Deletes from a continuous aggregate what copy_aggregates puts in its place.
--
-- place: the table in which the server keeps it; start, end: dates, [start, end); seen: snapshot: what was noted later stays
DELETE FROM :place AS k USING ops.aggregate_pending AS p
WHERE k.instrument_id = p.instrument_id AND k.ts >= p.day AND k.ts < p.day + 1
  AND k.ts >= :'start' AND k.ts < :'end'
  AND p.day >= :'start' AND p.day < :'end' AND pg_visible_in_snapshot(p.noted_by, :'seen'::pg_snapshot)
