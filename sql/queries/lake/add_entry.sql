-- Adds a verified file of bars to the manifest, and returns the entry's id.
--
-- instrument_id: null where the file holds all instruments. start, until: dates, [start, until)
-- revisions: jsonb, the file of the earlier values, or null
INSERT INTO ops.manifest (timeframe, instrument_id, start, until, version, path, bytes, footer_digest, row_count, digest,
                          revisions, verified_at)
VALUES (:'timeframe', :'instrument_id', :'start', :'until', :'version', :'path', :'bytes', :'footer_digest', :'row_count',
        :'digest', :'revisions', clock_timestamp())
RETURNING manifest_id
