-- Every window that starts before a day, with its instrument's symbol, whether the lake holds it as it is now, and the id and the range of
-- the manifest's entry that holds it.
--
-- timeframe: '1m' or '1d'. before: date
SELECT w.instrument_id, i.symbol, w.start, w.archived_change IS NOT DISTINCT FROM w.changed_at, m.manifest_id, m.start,
       m.until
FROM ops.bar_window AS w
JOIN market.instrument AS i USING (instrument_id)
LEFT JOIN ops.manifest AS m ON m.manifest_id = w.manifest_id
WHERE w.timeframe = :'timeframe' AND w.start < :'before'
