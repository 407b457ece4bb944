-- What a read has to know of some instruments, from one state of the database: which database that is, who they are, the version of
-- each of their windows, and which file of the lake holds just this version. A row for each window, or one without a window of an
-- instrument that has none; twice of an instrument that is meant by two names.
--
-- timeframe: as in bars_<timeframe>. since, until: dates, the first days of windows, half-open
-- symbols: text[], canonical ones, and aliases that were valid at any time in [start, end), timestamptz
-- ids: int4[], of other instruments that are meant
--
-- The server does not see how many names there are before it reads them, so that it plans the statement once, and not each time anew:
-- that took two thirds of it.
WITH meant AS (
    SELECT i.symbol AS asked, i.instrument_id, i.symbol, i.calendar
    FROM market.instrument AS i
    WHERE i.symbol = ANY(ARRAY(SELECT unnest(:'symbols'::text[])))
    UNION ALL
    SELECT DISTINCT a.ticker, i.instrument_id, i.symbol, i.calendar
    FROM market.symbol_alias AS a
    JOIN market.instrument AS i USING (instrument_id)
    WHERE a.ticker = ANY(ARRAY(SELECT unnest(:'symbols'::text[]))) AND a.valid_from < :'end' AND a.valid_until > :'start'::date
        AND NOT EXISTS (SELECT FROM market.instrument AS c WHERE c.symbol = a.ticker)
    UNION ALL
    SELECT NULL, i.instrument_id, i.symbol, i.calendar
    FROM market.instrument AS i
    WHERE i.instrument_id = ANY(ARRAY(SELECT unnest(:'ids'::int4[])))
)
SELECT
    (SELECT epoch FROM ops.tiering WHERE timeframe = :'timeframe'), (SELECT lake_id::text FROM ops.lake),
    i.asked, i.instrument_id, i.symbol, i.calendar, w.start, w.changed_at, w.cold, m.manifest_id, m.footer_digest
FROM meant AS i
LEFT JOIN ops.bar_window AS w
    ON w.timeframe = :'timeframe' AND w.instrument_id = i.instrument_id AND w.start >= :'since' AND w.start < :'until'
LEFT JOIN ops.manifest AS m ON m.manifest_id = w.manifest_id AND w.archived_change = w.changed_at
ORDER BY i.instrument_id, w.start
