-- Gives the bars of an instrument, and their earlier values, to another. A derived bar of a period of which the other has a bar goes: the
-- period is computed anew from what both have. Returns how many bars were given, and how many went.
--
-- bars: the timeframe's table; timeframe: its name; giver, receiver: int4
WITH taken AS MATERIALIZED (
    SELECT ts FROM :bars WHERE instrument_id = :'receiver'
    UNION
    SELECT ts FROM market.bars_revision WHERE timeframe = :'timeframe' AND instrument_id = :'receiver'
),
gone AS (
    DELETE FROM :bars WHERE instrument_id = :'giver' AND ts IN (SELECT ts FROM taken) RETURNING 1
),
forgotten AS (
    DELETE FROM market.bars_revision
    WHERE timeframe = :'timeframe' AND instrument_id = :'giver' AND ts IN (SELECT ts FROM taken)
),
earlier AS (
    UPDATE market.bars_revision SET instrument_id = :'receiver'
    WHERE timeframe = :'timeframe' AND instrument_id = :'giver' AND ts NOT IN (SELECT ts FROM taken)
),
given AS (
    UPDATE :bars SET instrument_id = :'receiver'
    WHERE instrument_id = :'giver' AND ts NOT IN (SELECT ts FROM taken) RETURNING 1
)
SELECT (SELECT count(*) FROM given), (SELECT count(*) FROM gone)
