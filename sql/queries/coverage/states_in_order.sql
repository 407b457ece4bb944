-- The states of sessions, by instrument in the order given, and by session.
--
-- states: the query session_states; ids: int4[], whose order is that of the answer
SELECT s.symbol, s.session, s.state, s.expected, s.present, s.first_ts, s.last_ts, s.missing_start, s.missing_slots, s.final, s.open, s.close,
       s.calendar
FROM (:states) AS s
JOIN unnest(:'ids'::int4[]) WITH ORDINALITY AS o (instrument_id, place) USING (instrument_id)
ORDER BY o.place, s.session
