-- Records a halt of trading in [start, end), in place of the one of the same instrument that begins at the same time.
--
-- instrument_id; start, end: timestamptz; reason: text
INSERT INTO market.halt (instrument_id, start_ts, end_ts, reason)
VALUES (:'instrument_id', :'start', :'end', :'reason')
ON CONFLICT (instrument_id, start_ts) DO UPDATE SET end_ts = excluded.end_ts, reason = excluded.reason
