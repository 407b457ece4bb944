-- Counts an answer for each session of the retry schedule that was answered and is final by now. After enough answers, it is confirmed that
-- what is missing does not exist. Before the first bar of all, be it one that was rejected, one answer is enough: there the provider's
-- history begins. Returns the sessions that were counted.
--
-- ids: int4[]; starts, ends: timestamptz[]; parallel arrays: the ranges that were requested and answered; timeframe: '1m' or '1d'
-- enough: how many answers confirm; now: timestamptz
UPDATE ops.retry_schedule AS g
SET tries = g.tries + 1,
    confirmed_at = CASE WHEN g.tries + 1 >= :'enough' OR g.session < f.session THEN coalesce(g.confirmed_at, :'now') END
FROM unnest(:'ids'::int4[], :'starts'::timestamptz[], :'ends'::timestamptz[]) AS n (id, first, after)
JOIN market.instrument AS i ON i.instrument_id = n.id
JOIN ops.requested AS a ON a.instrument_id = n.id AND a.timeframe = :'timeframe'
CROSS JOIN LATERAL (
    SELECT least(
        (SELECT min(c.session) FROM ops.coverage AS c WHERE c.instrument_id = n.id AND c.timeframe = :'timeframe' AND NOT c.derived),
        (SELECT min(lower(q.sessions)) FROM ops.quarantine AS q WHERE q.instrument_id = n.id AND q.timeframe = :'timeframe'),
        CASE WHEN :'timeframe' = '1d' THEN (
            SELECT min(b.ts)::date FROM market.bars_1d AS b
            WHERE b.instrument_id = n.id AND b.source NOT IN (SELECT source_id FROM market.source WHERE starts_with(name, 'derived:'))
        ) END
    ) AS session
) AS f
JOIN market.session AS s
    ON s.calendar = i.calendar AND s.session >= n.first::date - 1 AND s.session <= n.after::date
    AND CASE WHEN :'timeframe' = '1d' THEN s.session >= n.first AND s.session < n.after
             ELSE s.open >= n.first AND s.close <= n.after END
WHERE g.instrument_id = n.id AND g.timeframe = :'timeframe' AND g.session = s.session AND s.session <@ a.final
RETURNING g.instrument_id, g.session
