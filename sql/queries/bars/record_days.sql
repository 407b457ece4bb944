-- Records coverage of the days of one instrument in [start, end), of which a bar each is in the store. While days are in the store their
-- bars are their coverage; this is for when they leave it.
--
-- instrument_id: int4. start, end: timestamptz
INSERT INTO ops.coverage (instrument_id, timeframe, session, present, outside, first_ts, last_ts, derived)
SELECT instrument_id, '1d', ts::date, 1, 0, ts, ts, source IN (SELECT source_id FROM market.source WHERE starts_with(name, 'derived:'))
FROM market.bars_1d
WHERE instrument_id = :'instrument_id' AND ts >= :'start' AND ts < :'end'
ON CONFLICT DO NOTHING
