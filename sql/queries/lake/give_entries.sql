-- Gives the entries of the manifest of an instrument, which hold no window any more, to another, as later versions than it has.
--
-- giver, receiver: int4
UPDATE ops.manifest AS m
SET instrument_id = :'receiver',
    version = m.version + coalesce((SELECT max(o.version) FROM ops.manifest AS o WHERE o.instrument_id = :'receiver'), 0)
WHERE m.instrument_id = :'giver'
