-- The suspect bars in ranges that nobody dismissed and no person closed: finding, place of the range, start, state, and since when the value
-- is known that the finding is about.
--
-- timeframe, rule, closed_by: text; ids, firsts, lasts: for each range the instrument and its first and last instant, inclusive, parallel arrays
SELECT f.finding_id, r.place, lower(f.spans), f.state, (f.evidence ->> 'known_at')::timestamptz
FROM unnest(:'ids'::int4[], :'firsts'::timestamptz[], :'lasts'::timestamptz[]) WITH ORDINALITY AS r (instrument_id, first, last, place)
JOIN ops.finding AS f ON f.instrument_id = r.instrument_id AND lower(f.spans) BETWEEN r.first AND r.last
WHERE f.timeframe = :'timeframe' AND f.rule = :'rule' AND f.state <> 'dismissed' AND (f.closed_by IS NULL OR f.closed_by = :'closed_by')
