-- Gives the bars of periods of which two instruments both have or had one, and their earlier values, from one to the other. They are
-- derived bars, and computed anew from the bars of both; none is lost. What the giver's bar was while the other had none is what the other's
-- was then. What both had at the same time, the receiver's stands for; the giver's follow as values that were believed for a microsecond each,
-- at the time of the merge, where revisions show them. Returns how many periods both had a bar of.
--
-- bars: the timeframe's table; timeframe: its name; giver, receiver: int4; merged_at: timestamptz
WITH own AS MATERIALIZED (
    SELECT ts, known_at, NULL::timestamptz AS superseded_at FROM :bars WHERE instrument_id = :'receiver'
    UNION ALL
    SELECT ts, known_at, superseded_at FROM market.bars_revision WHERE timeframe = :'timeframe' AND instrument_id = :'receiver'
),
present AS (
    DELETE FROM :bars WHERE instrument_id = :'giver' AND ts IN (SELECT ts FROM own)
    RETURNING ts, known_at, NULL::timestamptz AS superseded_at, open, high, low, close, volume, vwap, trades, source
),
earlier AS (
    DELETE FROM market.bars_revision WHERE timeframe = :'timeframe' AND instrument_id = :'giver' AND ts IN (SELECT ts FROM own)
    RETURNING ts, known_at, superseded_at, open, high, low, close, volume, vwap, trades, source
),
given AS (SELECT * FROM present UNION ALL SELECT * FROM earlier),
periods AS (
    SELECT ts, range_agg(tstzrange(known_at, superseded_at)) AS taken,
           greatest(:'merged_at'::timestamptz, interval '1 microsecond' + greatest(max(greatest(known_at, superseded_at)),
               (SELECT max(greatest(g.known_at, g.superseded_at)) FROM given AS g WHERE g.ts = own.ts))) AS merged_at
    FROM own WHERE ts IN (SELECT ts FROM given) GROUP BY ts
),
placed AS (
    SELECT g.*, free, p.merged_at, count(*) FILTER (WHERE free IS NULL) OVER (PARTITION BY g.ts ORDER BY g.known_at) AS place
    FROM given AS g JOIN periods AS p USING (ts)
    LEFT JOIN LATERAL unnest(tstzmultirange(tstzrange(g.known_at, g.superseded_at)) - p.taken) AS free ON true
),
moments AS (SELECT ts, merged_at, max(place) * interval '1 microsecond' AS lasting FROM placed GROUP BY ts, merged_at HAVING max(place) > 0),
restated AS (
    UPDATE :bars AS b SET known_at = m.merged_at + m.lasting
    FROM (
        SELECT m.*, n.open, n.high, n.low, n.close, n.volume, n.vwap, n.trades, n.source, n.known_at
        FROM moments AS m JOIN :bars AS n ON n.instrument_id = :'receiver' AND n.ts = m.ts
    ) AS m
    WHERE b.instrument_id = :'receiver' AND b.ts = m.ts
    RETURNING m.*
),
standing AS (
    INSERT INTO :bars (instrument_id, ts, open, high, low, close, volume, vwap, trades, source, known_at)
    SELECT :'receiver', p.ts, open, high, low, close, volume, vwap, trades, source, greatest(lower(free), m.merged_at + m.lasting)
    FROM placed AS p LEFT JOIN moments AS m USING (ts) WHERE upper_inf(free)
),
revised AS (
    INSERT INTO market.bars_revision (timeframe, instrument_id, ts, open, high, low, close, volume, vwap, trades, source, known_at, superseded_at)
    SELECT :'timeframe', :'receiver', ts, open, high, low, close, volume, vwap, trades, source, known_at, merged_at FROM restated
    UNION ALL
    SELECT :'timeframe', :'receiver', p.ts, open, high, low, close, volume, vwap, trades, source,
           coalesce(lower(free), p.merged_at + (place - 1) * interval '1 microsecond'),
           CASE WHEN free IS NULL THEN p.merged_at + place * interval '1 microsecond' ELSE coalesce(upper(free), m.merged_at) END
    FROM placed AS p LEFT JOIN moments AS m USING (ts) WHERE free IS NULL OR NOT upper_inf(free) OR m.merged_at > lower(free)
)
SELECT count(*) FROM present
