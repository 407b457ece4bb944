-- How many sessions are in each state, by symbol.
--
-- states: the query session_states; ids: int4[]; firsts, lasts: date[], the sessions of each, both inclusive; parallel arrays
SELECT s.symbol, s.state, count(*)
FROM (:states) AS s
JOIN unnest(:'ids'::int4[], :'firsts'::date[], :'lasts'::date[]) AS n (instrument_id, first, last)
    ON n.instrument_id = s.instrument_id AND s.session BETWEEN n.first AND n.last
GROUP BY s.symbol, s.state
