-- Reserves the next call to a provider, and returns in how many seconds it may be made (negative where it may be made at once).
--   name      the rate limit: kind of provider, and a digest of its key
--   interval  time between two calls, such as '1.2 seconds'
INSERT INTO ops.rate_limit AS r (name, due) VALUES (:'name', clock_timestamp() + :'interval'::interval)
ON CONFLICT (name) DO UPDATE SET due = greatest(r.due, clock_timestamp()) + :'interval'::interval
RETURNING extract(epoch FROM due - :'interval'::interval - clock_timestamp())
