"""Taking partitions off Dagster's records: they count as never materialized, and the runs keep their logs.

Dagster's own storage cannot do it. Not here: which partitions (``reconcile``).
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

import dagster as dg
from dagster._core.storage.event_log import EventLogStorage, SqlEventLogStorage, SqlEventLogStorageTable
from dagster._core.storage.event_log.schema import AssetEventTagsTable
from sqlalchemy import delete, select, update

#: Partitions in one statement.
_AT_ONCE = 1000


def forget_partitions(storage: EventLogStorage, key: dg.AssetKey, partitions: Collection[str]) -> None:
    """Take ``partitions`` of an asset off the records. Without any, nothing is written.

    Args:
        storage: of the records.
        key: of the asset.
        partitions: keys of partitions; those that are not on record are ignored.

    Raises:
        NotImplementedError: the records are elsewhere than in a database.
    """
    if not isinstance(storage, SqlEventLogStorage):
        raise NotImplementedError(f"{type(storage).__name__} is no database")
    remaining = iter(sorted(partitions))
    while some := list(islice(remaining, _AT_ONCE)):
        events = SqlEventLogStorageTable.c
        chosen = (events.asset_key == key.to_string()) & events.partition.in_(some)
        tagged = select(events.id).where(chosen)
        with storage.index_transaction() as connection:
            connection.execute(delete(AssetEventTagsTable).where(AssetEventTagsTable.c.event_id.in_(tagged)))
            # The event itself stays, in the log of its run; only the index of assets has it no more.
            connection.execute(update(SqlEventLogStorageTable).where(chosen).values(asset_key=None, partition=None))
    if partitions:
        storage.wipe_asset_cached_status(key)
