-- Gives what is known of the requests for an instrument to another: a session counts as requested, or final, that either has so.
--
-- giver, receiver: int4
WITH requested AS (
    DELETE FROM ops.requested WHERE instrument_id = :'giver' RETURNING timeframe, sessions, final, calendar
),
joined AS (
    INSERT INTO ops.requested AS r (instrument_id, timeframe, sessions, final, calendar)
    SELECT :'receiver', timeframe, sessions, final, calendar FROM requested
    ON CONFLICT (instrument_id, timeframe) DO UPDATE
    SET sessions = r.sessions + excluded.sessions, final = r.final + excluded.final
),
finalized AS (
    DELETE FROM ops.finalized WHERE instrument_id = :'giver' RETURNING timeframe, final_at, sessions
),
settled AS (
    INSERT INTO ops.finalized AS f (instrument_id, timeframe, final_at, sessions)
    SELECT :'receiver', timeframe, final_at, sessions FROM finalized
    ON CONFLICT (instrument_id, timeframe, final_at) DO UPDATE SET sessions = f.sessions + excluded.sessions
),
scheduled AS (
    DELETE FROM ops.retry_schedule WHERE instrument_id = :'giver' RETURNING timeframe, session, launches, tries, next_try, confirmed_at
)
INSERT INTO ops.retry_schedule (instrument_id, timeframe, session, launches, tries, next_try, confirmed_at)
SELECT :'receiver', timeframe, session, launches, tries, next_try, confirmed_at FROM scheduled
ON CONFLICT (instrument_id, timeframe, session) DO NOTHING
