-- Lets a transaction that only holds a lock be idle and long. (Not every version of the server has each of the settings.)
SELECT set_config(name, '0', true)
FROM pg_settings
WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')
