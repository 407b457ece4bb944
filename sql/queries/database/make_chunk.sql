-- Makes TimescaleDB create the chunk for a moment. Under both licences only a row does that; it must be deleted in the
-- same transaction, so that nobody ever sees it.
--
-- bars: the table. moment: timestamptz.
INSERT INTO :bars (instrument_id, ts, open, high, low, close, source, known_at)
VALUES (0, :'moment', 0, 0, 0, 0, 0, :'moment')
ON CONFLICT DO NOTHING
