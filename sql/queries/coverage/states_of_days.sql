-- The states of sessions of days, where that of a day which was rolled up from minutes is the state of these minutes.
--
-- states: the query session_states of '1d'; minutes: the same of '1m', of every session of which a day was rolled up
--
-- Both are materialized: where the server takes the days for few, it would ask for the minutes again with each of them. FULL JOIN, of which
-- only the days are taken, is never a nested loop.
WITH s AS MATERIALIZED (:states),
m AS MATERIALIZED (:minutes)
SELECT s.instrument_id, s.symbol, s.session, s.open, s.close, s.expected, s.present, s.first_ts, s.last_ts, s.missing_start, s.missing_slots,
       s.requested, CASE WHEN s.state = 'derived' THEN coalesce(m.final, false) ELSE s.final END AS final,
       s.calendar, s.tries, s.next_try, s.confirmed,
       CASE WHEN s.state <> 'derived' THEN s.state
            WHEN m.state IN ('complete', 'no_trades') THEN 'complete'
            ELSE coalesce(m.state, 'partial') END AS state
FROM s
FULL JOIN m ON m.instrument_id = s.instrument_id AND m.session = s.session
WHERE coalesce(s.state, '') <> ''
