-- Dismisses findings of suspect bars that are so no longer. What a person said of one stays.
--
-- closed_by: text; finding_ids, reasons: parallel arrays
UPDATE ops.finding AS f
SET state = 'dismissed', closed_at = clock_timestamp(), changed_at = clock_timestamp(), closed_by = :'closed_by', reason = c.reason
FROM unnest(:'finding_ids'::int8[], :'reasons'::text[]) AS c (finding_id, reason)
WHERE f.finding_id = c.finding_id AND (f.closed_by IS NULL OR f.closed_by = :'closed_by')
