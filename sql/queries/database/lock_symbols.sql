-- Locks the instruments of these symbols for whoever publishes, until the transaction ends: symbol, instrument id,
-- calendar, nothing, of those that are registered.
--
-- lock: number of the timeframe's lock; see chandlery/database/locks.py. symbols: canonical symbols, text[].
SELECT symbol, instrument_id, calendar, pg_advisory_xact_lock(:'lock'::int4, instrument_id)
FROM (
    -- Sorted inside, so that the locks are taken in that order and nobody waits in a circle.
    SELECT symbol, instrument_id, calendar FROM market.instrument
    WHERE symbol = ANY(:'symbols') ORDER BY instrument_id
) AS member
