-- Locks the instruments of these symbols for whoever publishes, until the transaction ends: symbol, instrument id,
-- calendar, nothing, of those that are registered, once for each lock.
--
-- locks: numbers of the timeframes' locks, int4[]; see chandlery/database/locks.py. symbols: canonical symbols, text[].
SELECT symbol, instrument_id, calendar, pg_advisory_xact_lock(lock, instrument_id)
FROM (
    -- Sorted inside, so that the locks are taken in that order and nobody waits in a circle.
    SELECT symbol, instrument_id, calendar, lock
    FROM market.instrument CROSS JOIN unnest(:'locks'::int4[]) AS lock
    WHERE symbol = ANY(:'symbols')
    ORDER BY lock, instrument_id
) AS member
