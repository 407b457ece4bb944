-- What is stored of an instrument.
--
-- instrument_id: int4; symbol: canonical
--
-- Returns windows: of bars, present or former. halts: recorded by a person. quarantined: entries that wait. rejected: all entries.
-- findings: that nobody dismissed. answers: that landed and wait to be processed. aliases: other names.
-- requested: timeframes of which a provider answered.
SELECT (SELECT count(*) FROM ops.bar_window WHERE instrument_id = :'instrument_id')
           + (SELECT count(*) FROM (SELECT FROM market.bars_revision WHERE instrument_id = :'instrument_id' LIMIT 1) AS r) AS windows,
       (SELECT count(*) FROM market.halt WHERE instrument_id = :'instrument_id') AS halts,
       (SELECT count(*) FROM ops.quarantine WHERE instrument_id = :'instrument_id' AND released_at IS NULL AND NOT sessions <@ replaced) AS quarantined,
       (SELECT count(*) FROM ops.quarantine WHERE instrument_id = :'instrument_id') AS rejected,
       (SELECT count(*) FROM ops.finding WHERE instrument_id = :'instrument_id' AND state <> 'dismissed') AS findings,
       (SELECT count(*) FROM ops.landing WHERE :'symbol' = ANY(symbols) AND processed_at IS NULL AND deleted_at IS NULL) AS answers,
       (SELECT count(*) FROM market.symbol_alias WHERE instrument_id = :'instrument_id') AS aliases,
       (SELECT count(*) FROM ops.requested WHERE instrument_id = :'instrument_id') AS requested
