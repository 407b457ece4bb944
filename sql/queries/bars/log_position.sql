-- A number that tells whether any publication came since: the newest one's, and how many of the last ten thousand there are, because
-- of two that are under way the later may come first.
SELECT coalesce(max(publication_id), 0), count(*)
FROM ops.publication
WHERE publication_id > (SELECT coalesce(max(publication_id), 0) - 10000 FROM ops.publication)
