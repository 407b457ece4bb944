-- Gives the bars of an instrument, and their earlier values, to another that has none of the same periods. Returns how many bars were given.
--
-- bars: the timeframe's table; timeframe: its name; giver, receiver: int4
WITH earlier AS (
    UPDATE market.bars_revision SET instrument_id = :'receiver' WHERE timeframe = :'timeframe' AND instrument_id = :'giver'
),
given AS (
    UPDATE :bars SET instrument_id = :'receiver' WHERE instrument_id = :'giver' RETURNING 1
)
SELECT count(*) FROM given
