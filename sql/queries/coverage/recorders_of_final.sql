-- The transactions of this database, other than one's own, that are recording which sessions became final.
SELECT virtualtransaction
FROM pg_locks
WHERE relation = 'ops.finalized'::regclass AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND mode = 'RowExclusiveLock' AND granted AND pid <> pg_backend_pid()
