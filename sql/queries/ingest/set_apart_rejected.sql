-- Where the gate rejected the same rows of two instruments that become one, lets one entry of each two count: a released one, or the
-- receiver's. The other stays on record under a digest of its own; if it waited, as replaced.
--
-- giver, receiver: int4
WITH same AS (
    SELECT CASE WHEN g.released_at IS NOT NULL AND r.released_at IS NULL THEN r.quarantine_id ELSE g.quarantine_id END AS quarantine_id
    FROM ops.quarantine AS g JOIN ops.quarantine AS r USING (timeframe, digest)
    WHERE g.instrument_id = :'giver' AND r.instrument_id = :'receiver'
)
UPDATE ops.quarantine AS q
SET digest = sha256(q.digest || convert_to(q.quarantine_id::text, 'UTF8')),
    replaced = CASE WHEN q.released_at IS NULL THEN q.sessions ELSE q.replaced END
FROM same WHERE q.quarantine_id = same.quarantine_id
