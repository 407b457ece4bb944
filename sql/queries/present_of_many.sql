-- The bars from first to last of the instruments from lowest to highest, which an index has in their order. (A subquery of merge_bars.)
(
    SELECT *
    FROM {bars}
    WHERE instrument_id BETWEEN {lowest} AND {highest} AND ts BETWEEN {first} AND {last}
)
