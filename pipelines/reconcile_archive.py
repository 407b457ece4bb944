"""Keeps Dagster's records of archived partitions in line with the lake, both ways.

A run that is killed after a file was entered in the manifest and before it said so, or ``chandlery archive``, leaves
partitions that Dagster does not know of: these are recorded. What Dagster has on record and the lake does not hold, for
example after a recovery, is taken off the records. The data version of a partition is the path of its file, of which
each version has another.

Not here: the records of bars, and the sensor (``reconcile``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date

import dagster as dg

from assets.tiers import archive_name, file_tag
from assets.versions import DATA_VERSION
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.tiers.archived_partitions import ArchivedPartition, list_archived, manifest_position
from chandlery.tiers.warehouse import Warehouse
from pipelines.forget_partitions import forget_partitions

#: Keys of the assets.
ARCHIVES = frozenset(dg.AssetKey(archive_name(base)) for base in INGESTED)
_MATERIALIZATION = dg.DagsterEventType.ASSET_MATERIALIZATION


def archive_position(instance: dg.DagsterInstance, warehouse: Warehouse, today: date) -> list[int]:
    """Return numbers that are others as soon as the lake or Dagster's records of it changed, and once a day."""
    keys = sorted(ARCHIVES)
    newest = {
        record.asset_entry.asset_key: record.asset_entry.last_materialization_storage_id or 0
        for record in instance.get_asset_records(keys)
    }
    with warehouse.connection() as connection:
        return [*manifest_position(connection), *(newest.get(key, 0) for key in keys), today.toordinal()]


def reconcile_archive(
    instance: dg.DagsterInstance, warehouse: Warehouse, most: int, registered: Collection[str]
) -> list[dg.AssetMaterialization]:
    """Forget what the lake does not hold, and return what has to be recorded, at most so many.

    Args:
        instance: whose records are compared.
        warehouse: whose lake is.
        most: how many partitions at most.
        registered: symbols that are partitions; others are left for a later look.
    """
    events: list[dg.AssetMaterialization] = []
    for base in INGESTED:
        events += _compare(instance, warehouse, base, registered)
    return events[:most]


def _compare(
    instance: dg.DagsterInstance, warehouse: Warehouse, base: Timeframe, registered: Collection[str]
) -> Iterator[dg.AssetMaterialization]:
    key, storage = dg.AssetKey(archive_name(base)), instance.event_log_storage
    # First what is on record: whatever is recorded was in the manifest before.
    recorded = storage.get_latest_storage_id_by_partition(key, _MATERIALIZATION)
    tags = storage.get_latest_tags_by_partition(key, _MATERIALIZATION, [DATA_VERSION])
    with warehouse.connection() as connection:
        held = list_archived(connection, base)
    forget_partitions(storage, key, [partition for partition in recorded if partition not in held])
    for name, partition in held.items():
        if partition.symbol and partition.symbol not in registered:
            continue
        if tags.get(name, {}).get(DATA_VERSION) != partition.path:
            yield _materialization(warehouse, key, name, partition)


def _materialization(
    warehouse: Warehouse, key: dg.AssetKey, name: str, partition: ArchivedPartition
) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
        key,
        partition=name,
        metadata={
            "note": "recorded later: whoever archived it did not come to say so",
            "file": warehouse.lake.describe(partition.path),
            "version": partition.version,
            "bars in the file": partition.row_count,
            "written": dg.MetadataValue.timestamp(partition.written_at),
        },
        tags=file_tag(partition.path),
    )
