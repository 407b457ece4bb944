-- What the manifest says of the lake's present files: (files, their bytes, bars in them, windows that are in the lake alone). Files of
-- earlier values count as files, too.
SELECT
    count(*) + count(revisions),
    coalesce(sum(bytes + coalesce((revisions ->> 'size')::int8, 0)), 0)::int8,
    coalesce(sum(row_count), 0)::int8,
    (SELECT count(*) FROM ops.bar_window WHERE cold)
FROM ops.manifest
WHERE retired_at IS NULL
