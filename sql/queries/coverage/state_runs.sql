-- Runs of consecutive sessions in the same state, by instrument and time.
--
-- states: the query session_states; ids: int4[], whose order is that of the answer; firsts, lasts: date[], the sessions of each
-- only: text[] of states, or null
WITH marked AS (
    SELECT s.*, n.place, lag(s.state) OVER run IS DISTINCT FROM s.state AS begins
    FROM (:states) AS s
    JOIN unnest(:'ids'::int4[], :'firsts'::date[], :'lasts'::date[]) WITH ORDINALITY AS n (instrument_id, first, last, place)
        ON n.instrument_id = s.instrument_id AND s.session BETWEEN n.first AND n.last
    WINDOW run AS (PARTITION BY n.place ORDER BY s.session)
),
numbered AS (
    SELECT m.*, count(*) FILTER (WHERE m.begins) OVER (PARTITION BY m.place ORDER BY m.session) AS run
    FROM marked AS m
),
sized AS (
    SELECT place, run, symbol, state, min(session) AS first, max(session) AS last, count(*)::int AS sessions,
           sum(expected)::int8 AS expected, sum(present)::int8 AS present,
           max(CASE WHEN missing_slots > 0 AND missing_start IS NOT NULL
                    THEN ARRAY[missing_slots, -extract(epoch FROM missing_start)::int8] END) AS longest
    FROM numbered
    WHERE :'only'::text[] IS NULL OR state = ANY(:'only'::text[])
    GROUP BY place, run, symbol, state
)
SELECT symbol, state, first, last, sessions, expected, present, to_timestamp(-longest[2]) AS missing_start, longest[1]::int AS missing_slots
FROM sized
ORDER BY place, first
