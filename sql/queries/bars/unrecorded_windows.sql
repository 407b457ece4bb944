-- Windows whose last change the orchestrator is not known to have on record, the oldest change first; and which publication it was.
--
-- limit: how many. unfinished: text[], numbers of runs that are about to record by themselves what they published
SELECT w.timeframe, i.symbol, w.start, w.changed_at, p.publication_id, p.origin, p.run_id
FROM ops.bar_window AS w
JOIN market.instrument AS i USING (instrument_id)
LEFT JOIN ops.publication AS p
    ON p.timeframe = w.timeframe AND p.known_at = w.changed_at AND w.instrument_id = ANY(p.instrument_ids)
WHERE w.changed_at IS DISTINCT FROM w.recorded_change AND (p.run_id IS NULL OR p.run_id <> ALL(:'unfinished'::text[]))
ORDER BY w.changed_at, w.timeframe, i.symbol, w.start
LIMIT :'limit'
