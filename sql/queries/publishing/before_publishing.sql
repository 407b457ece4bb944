-- What a publication of bars of one timeframe has to know once it holds its locks: (the time it is known at, source ids by name,
-- whether any window that it touches has left the store).
--
-- now: the present, or null for the server's clock. A publication is known later than any of its timeframe before, even where a
-- clock went back.

SELECT
    (SELECT greatest(coalesce(:'now', clock_timestamp()), max(known_at) + interval '1 microsecond')
     FROM ops.publication WHERE timeframe = :'timeframe'),
    (SELECT jsonb_object_agg(name, source_id) FROM market.source),
    EXISTS (
        SELECT FROM ops.bar_window AS w JOIN market.instrument AS i USING (instrument_id)
        WHERE w.timeframe = :'timeframe' AND i.symbol = ANY(:'symbols') AND w.cold
            AND w.start BETWEEN :'start' AND :'last'
    )
