-- What a calendar in the database says of a day: its first and last session, its name and version, and whether the day is a session.
--
-- calendar: its name; day: date
SELECT min(session), max(session), calendar || ' ' || (array_agg(version ORDER BY session DESC))[1], bool_or(session = :'day')
FROM market.session
WHERE calendar = :'calendar'
GROUP BY calendar
