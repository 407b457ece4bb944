-- Returns how many seconds a pause of the calls to a provider still lasts: negative once it is over, NULL without one.
--   name  the rate limit: kind of provider, and a digest of its key
SELECT extract(epoch FROM paused_until - clock_timestamp()) FROM ops.rate_limit WHERE name = :'name'
