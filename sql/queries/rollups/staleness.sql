-- How a base timeframe stands: when bars of it were published last, how many stale days may be rolled up now, how often rolling up failed,
-- how many stale days wait after a failure, and until when the first of them.
--
-- base: '1m' or '1d'
SELECT (SELECT max(known_at) FROM ops.publication WHERE timeframe = :'base'),
       count(*) FILTER (WHERE next_try IS NULL OR next_try <= clock_timestamp()), coalesce(sum(failures), 0),
       count(*) FILTER (WHERE next_try > clock_timestamp()), min(next_try) FILTER (WHERE next_try > clock_timestamp())
FROM ops.rollup_pending
WHERE timeframe = :'base'
