"""Deleting files of the lake that nobody needs any more: replaced ones, and what writers left that died.

Not here: which files are replaced (``archive``).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from chandlery.lake.identity import claim_lake
from chandlery.lake.manifest import find_expired, list_paths, note_deleted
from chandlery.tiers.warehouse import Warehouse

#: How long a file that somebody is writing, or has not entered in the manifest, is left alone: he may be slow.
_STAGING_GRACE = timedelta(days=1)


def sweep(warehouse: Warehouse, grace: timedelta, *, now: datetime | None = None) -> int:
    """Delete files that were retired more than ``grace`` ago, and what dead writers left; return how many.

    A writer that died after it named a file, and before the manifest had it, left a sign beside it. Other files that
    the manifest does not know are left alone: they may be anybody's.

    Raises:
        LakeError: the lake is not the database's and something would have to be deleted, it cannot be read, or a file
            cannot be deleted.
    """
    now = now or datetime.now(UTC)
    count = _delete_abandoned(warehouse, datetime.now(UTC) - _STAGING_GRACE)
    with warehouse.connection() as connection:
        expired = find_expired(connection, now - grace)
        if expired:
            claim_lake(connection, warehouse.lake)
        for manifest_id, paths in expired.items():
            for path in paths:
                warehouse.lake.delete(path)
                count += 1
            note_deleted(connection, manifest_id)
    return count


def _delete_abandoned(warehouse: Warehouse, before: datetime) -> int:
    """Delete what writers left that died before ``before`` (UTC); return how many files."""
    abandoned = warehouse.lake.list_abandoned(before)
    if abandoned:
        warehouse.claim_lake()
        with warehouse.connection() as connection:
            known = list_paths(connection)
        abandoned = [path for path in abandoned if path not in known]
        for path in abandoned:
            warehouse.lake.delete(path)
    # Last, because by these the others are found.
    return len(abandoned) + warehouse.lake.sweep(before)
