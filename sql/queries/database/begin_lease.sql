-- Names the session of this transaction, and has the server end it where it is silent for so long.
SELECT
    set_config('application_name', :'holder', true),
    set_config('idle_in_transaction_session_timeout', :'milliseconds', true)
