-- Counts an answer for each session that healing asked for and that is final by now. After enough of them, what is missing still is
-- confirmed to be missing.
--
-- ids, starts, ends: what was asked for and answered; tries: how many answers are enough; now: timestamptz
UPDATE ops.gap AS g
SET tries = g.tries + 1,
    confirmed_at = CASE WHEN g.tries + 1 >= %(tries)s THEN coalesce(g.confirmed_at, %(now)s) END
FROM unnest(%(ids)s::int4[], %(starts)s::timestamptz[], %(ends)s::timestamptz[]) AS n (id, first, after),
     market.instrument AS i, market.session AS s, ops.asked AS a
WHERE g.instrument_id = n.id AND g.timeframe = %(timeframe)s AND i.instrument_id = n.id
    AND s.calendar = i.calendar AND s.session = g.session AND s.session >= n.first::date - 1 AND s.session <= n.after::date
    AND CASE WHEN %(timeframe)s = '1d' THEN s.session >= n.first AND s.session < n.after
             ELSE s.open >= n.first AND s.close <= n.after END
    AND a.instrument_id = n.id AND a.timeframe = %(timeframe)s AND s.session <@ a.final
