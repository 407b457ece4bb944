-- Gives what is known of the requests for an instrument to another, of one timeframe: a session counts as requested, or final, that either has
-- so. Of the giver's answers those count that are on its side of the border between the bars of both.
--
-- giver, receiver: int4; timeframe: '1m' or '1d'; first, after: dates, half-open, on which the giver's answers count; null where there is no limit
WITH side AS (SELECT datemultirange(daterange(:'first'::date, :'after'::date)) AS days),
requested AS (
    DELETE FROM ops.requested WHERE instrument_id = :'giver' AND timeframe = :'timeframe' RETURNING timeframe, sessions, final, calendar
),
joined AS (
    INSERT INTO ops.requested AS r (instrument_id, timeframe, sessions, final, calendar)
    SELECT :'receiver', timeframe, sessions * days, final * days, calendar FROM requested CROSS JOIN side WHERE NOT isempty(sessions * days)
    ON CONFLICT (instrument_id, timeframe) DO UPDATE
    SET sessions = r.sessions + excluded.sessions, final = r.final + excluded.final
),
finalized AS (
    DELETE FROM ops.finalized WHERE instrument_id = :'giver' AND timeframe = :'timeframe' RETURNING timeframe, final_at, sessions
),
settled AS (
    INSERT INTO ops.finalized AS f (instrument_id, timeframe, final_at, sessions)
    SELECT :'receiver', timeframe, final_at, sessions * days FROM finalized CROSS JOIN side WHERE NOT isempty(sessions * days)
    ON CONFLICT (instrument_id, timeframe, final_at) DO UPDATE SET sessions = f.sessions + excluded.sessions
),
scheduled AS (
    DELETE FROM ops.retry_schedule WHERE instrument_id = :'giver' AND timeframe = :'timeframe' RETURNING timeframe, session, launches, tries, next_try, confirmed_at
)
INSERT INTO ops.retry_schedule (instrument_id, timeframe, session, launches, tries, next_try, confirmed_at)
SELECT :'receiver', timeframe, session, launches, tries, next_try, confirmed_at FROM scheduled CROSS JOIN side WHERE session <@ days
ON CONFLICT (instrument_id, timeframe, session) DO NOTHING
