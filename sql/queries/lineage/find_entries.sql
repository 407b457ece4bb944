-- The numbers of the entries of the quarantine that may hold a bar: those of its window, and those that name its session, newest first.
--
-- instrument_id: int4; timeframe, window: of the bar, the window by its key; session: date, or null
-- as_of: null, or only what was rejected by then
SELECT quarantine_id
FROM ops.quarantine
WHERE instrument_id = :'instrument_id' AND timeframe = :'timeframe' AND arrived_at <= coalesce(:'as_of'::timestamptz, 'infinity')
    AND (window_key = :'window' OR :'session'::date <@ sessions)
ORDER BY arrived_at DESC, quarantine_id DESC
