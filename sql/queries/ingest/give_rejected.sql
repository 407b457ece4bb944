-- Gives what the gate rejected of an instrument to another; the same rows of the same timeframe are one entry.
--
-- giver, receiver: int4
WITH same AS MATERIALIZED (
    SELECT g.quarantine_id, r.quarantine_id AS kept
    FROM ops.quarantine AS g JOIN ops.quarantine AS r USING (timeframe, digest)
    WHERE g.instrument_id = :'giver' AND r.instrument_id = :'receiver'
),
released AS (
    UPDATE ops.released_bar AS b
    SET instrument_id = :'receiver',
        quarantine_id = coalesce((SELECT kept FROM same WHERE same.quarantine_id = b.quarantine_id), b.quarantine_id)
    WHERE b.instrument_id = :'giver'
),
gone AS (
    DELETE FROM ops.quarantine WHERE quarantine_id IN (SELECT quarantine_id FROM same)
)
UPDATE ops.quarantine SET instrument_id = :'receiver'
WHERE instrument_id = :'giver' AND quarantine_id NOT IN (SELECT quarantine_id FROM same)
