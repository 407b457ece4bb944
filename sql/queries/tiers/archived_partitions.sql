-- The windows that the lake holds, each with the file that holds it: of minutes one for each symbol and month, of days one for each year.
--
-- timeframe: '1m' or '1d'
SELECT DISTINCT ON (symbol, start) symbol, start, path, version, row_count, written_at
FROM (
    SELECT CASE WHEN m.instrument_id IS NULL THEN '' ELSE i.symbol END AS symbol,
           w.start, m.path, m.version, m.row_count, m.written_at, m.manifest_id
    FROM ops.bar_window AS w
    JOIN ops.manifest AS m USING (manifest_id)
    JOIN market.instrument AS i ON i.instrument_id = w.instrument_id
    WHERE w.timeframe = :'timeframe'
) AS held
ORDER BY symbol, start, manifest_id DESC
