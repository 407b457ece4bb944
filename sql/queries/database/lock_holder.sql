-- Who holds an advisory lock of two numbers: the name that its session goes by. NULL where this role may not see it.
SELECT activity.application_name
FROM pg_locks AS lock
LEFT JOIN pg_stat_activity AS activity USING (pid)
WHERE lock.locktype = 'advisory'
  AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (lock.classid, lock.objid, lock.objsubid, lock.granted) = (:'lock_class'::bigint::oid, :'number'::bigint::oid, 2, true)
