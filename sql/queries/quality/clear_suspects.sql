-- Dismisses what was suspect in these ranges and is so no longer. What a person said of one stays.
--
-- timeframe, rule, closed_by: text; ids, firsts, lasts: for each instrument the first and the last bar that was looked at, parallel arrays
-- suspect_ids, suspect_ts: those that are suspect, parallel arrays
UPDATE ops.finding AS f
SET state = 'dismissed', closed_at = clock_timestamp(), changed_at = clock_timestamp(), closed_by = :'closed_by',
    reason = 'the next bar did not take it back'
FROM unnest(:'ids'::int4[], :'firsts'::timestamptz[], :'lasts'::timestamptz[]) AS w (instrument_id, first, last)
WHERE f.instrument_id = w.instrument_id AND f.timeframe = :'timeframe' AND f.rule = :'rule' AND f.state <> 'dismissed'
    AND (f.closed_by IS NULL OR f.closed_by = :'closed_by') AND lower(f.spans) BETWEEN w.first AND w.last
    AND NOT EXISTS (
        SELECT FROM unnest(:'suspect_ids'::int4[], :'suspect_ts'::timestamptz[]) AS s (instrument_id, ts)
        WHERE s.instrument_id = f.instrument_id AND s.ts = lower(f.spans)
    )
