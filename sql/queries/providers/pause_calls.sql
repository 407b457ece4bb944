-- Lets nobody make a call to a provider for a while. A longer pause that is under way stays.
--   name    the rate limit: kind of provider, and a digest of its key
--   length  how long from now, such as '30 seconds'
INSERT INTO ops.rate_limit AS r (name, due, paused_until)
VALUES (:'name', clock_timestamp() + :'length'::interval, clock_timestamp() + :'length'::interval)
ON CONFLICT (name) DO UPDATE
SET due = greatest(r.due, excluded.due), paused_until = greatest(r.paused_until, excluded.paused_until)
