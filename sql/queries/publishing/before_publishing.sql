-- What a publication has to know once it holds its locks, of each timeframe in the order given: (the time it is known at, source ids by
-- name, whether any window that it touches has left the store).
--
-- timeframes: text[]. starts, lasts: first and last days of the windows it touches, date[]; null where none can have left
-- symbols: canonical symbols, text[]
-- now: the present, or null for the server's clock. A publication is known later than any of its timeframe before, even where a
-- clock went back.

SELECT
    (SELECT greatest(coalesce(:'now', clock_timestamp()), max(known_at) + interval '1 microsecond')
     FROM ops.publication AS p WHERE p.timeframe = n.timeframe),
    (SELECT jsonb_object_agg(name, source_id) FROM market.source),
    EXISTS (
        SELECT FROM ops.bar_window AS w JOIN market.instrument AS i USING (instrument_id)
        WHERE w.timeframe = n.timeframe AND i.symbol = ANY(:'symbols') AND w.cold
            AND w.start BETWEEN n.start AND n.last
    )
FROM unnest(:'timeframes'::text[], :'starts'::date[], :'lasts'::date[])
    WITH ORDINALITY AS n (timeframe, start, last, place)
ORDER BY n.place
