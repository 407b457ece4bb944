-- Gives what is noted of the bars of an instrument to another: sessions, stale days, windows, publications. A window of both changed now.
--
-- giver, receiver: int4
WITH covered AS (
    UPDATE ops.coverage SET instrument_id = :'receiver' WHERE instrument_id = :'giver'
),
stale AS (
    DELETE FROM ops.rollup_pending WHERE instrument_id = :'giver' RETURNING timeframe, day, noted_at
),
pending AS (
    INSERT INTO ops.rollup_pending (timeframe, instrument_id, day, noted_at)
    SELECT timeframe, :'receiver', day, noted_at FROM stale
    ON CONFLICT (timeframe, instrument_id, day) DO NOTHING
),
shared AS MATERIALIZED (
    SELECT timeframe, start FROM ops.bar_window WHERE instrument_id = :'giver'
    INTERSECT
    SELECT timeframe, start FROM ops.bar_window WHERE instrument_id = :'receiver'
),
changed AS (
    UPDATE ops.bar_window AS w SET changed_at = greatest(w.changed_at + interval '1 microsecond', clock_timestamp()), recorded_change = NULL
    FROM shared AS s
    WHERE w.instrument_id = :'receiver' AND (w.timeframe, w.start) = (s.timeframe, s.start)
),
gone AS (
    DELETE FROM ops.bar_window AS w USING shared AS s
    WHERE w.instrument_id = :'giver' AND (w.timeframe, w.start) = (s.timeframe, s.start)
),
given AS (
    UPDATE ops.bar_window AS w SET instrument_id = :'receiver'
    WHERE w.instrument_id = :'giver' AND (w.timeframe, w.start) NOT IN (SELECT timeframe, start FROM shared)
)
UPDATE ops.publication AS p
SET instrument_ids = ARRAY(SELECT DISTINCT id FROM unnest(array_replace(p.instrument_ids, :'giver'::int4, :'receiver'::int4)) AS id ORDER BY id)
WHERE :'giver'::int4 = ANY(p.instrument_ids)
