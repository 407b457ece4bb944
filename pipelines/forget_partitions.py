"""Taking partitions off Dagster's records: they count as never materialized, and the runs keep their logs.

Dagster's own storage cannot do it, so the tables of its event log are named here. Not here: which partitions
(``reconcile``).
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import Any

import dagster as dg
from sqlalchemy import column, delete, select, table, update

_EVENTS = table("event_logs", column("id"), column("asset_key"), column("partition"))
_TAGS = table("asset_event_tags", column("event_id"))
#: Partitions in one statement.
_AT_ONCE = 1000


def forget_partitions(storage: Any, key: dg.AssetKey, partitions: Collection[str]) -> None:  # noqa: ANN401 - Dagster keeps its type to itself
    """Take ``partitions`` of an asset off the records. Without any, nothing is written.

    Args:
        storage: Dagster's event log, in a database.
        key: of the asset.
        partitions: keys of partitions; those that are not on record are ignored.
    """
    remaining = iter(sorted(partitions))
    while some := list(islice(remaining, _AT_ONCE)):
        chosen = (_EVENTS.c.asset_key == key.to_string()) & _EVENTS.c.partition.in_(some)
        with storage.index_transaction() as connection:
            connection.execute(delete(_TAGS).where(_TAGS.c.event_id.in_(select(_EVENTS.c.id).where(chosen))))
            # The event itself stays, in the log of its run; only the index of assets has it no more.
            connection.execute(update(_EVENTS).where(chosen).values(asset_key=None, partition=None))
    if partitions:
        storage.wipe_asset_cached_status(key)
