"""Keeps Dagster's records of partitions in line with the store and the lake, both ways.

A run that is killed after it published and before it said so, or somebody who publishes outside of Dagster, leaves
partitions that Dagster does not know of, or knows as they were: these are recorded. What Dagster has on record and the
store does not hold, for example after a recovery, is taken off the records. Each materialization carries the time of
its publication as its data version (``assets.versions``); by that the two are compared.

Where nothing changed since the last look, nothing is compared and nothing written. Once a day, all is compared.

Not here: what the store knows of its partitions (``chandlery.bars.recorded_windows``), and how archived partitions are
compared (``reconcile_archive``).
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from assets.reference import SYMBOLS, register_symbols
from assets.versions import DATA_VERSION, NOTHING, parse_version, version_tag
from chandlery.bars.recorded_windows import Unrecorded, list_unrecorded, log_position, newest_changes, note_recorded
from chandlery.core.timeframe import Timeframe
from chandlery.tiers.warehouse import Warehouse
from pipelines.forget_partitions import forget_partitions
from pipelines.jobs import maintain
from pipelines.reconcile_archive import ARCHIVES, archive_position, reconcile_archive
from pipelines.unfinished_runs import UNFINISHED, close_dead_runs
from resources.store import StoreResource

NAME = "reconcile"
_ASSETS = {timeframe: dg.AssetKey(timeframe.table) for timeframe in Timeframe}
_MATERIALIZATION = dg.DagsterEventType.ASSET_MATERIALIZATION


@dataclass(frozen=True, slots=True)
class ReconcileLimits:
    """How much one tick does.

    Attributes:
        events: partitions that it records at most.
        compared: after so many partitions it compares no further asset as a whole.
    """

    events: int = 1000
    compared: int = 20_000


@dataclass(slots=True)
class Cursor:
    """How far Dagster's records were compared with the store.

    Attributes:
        seen: number of the newest materialization that was looked at, by name of the asset.
        complete: day, UTC, on which all of it was compared last, by name of the asset.
        published: position of the store's log of publications.
        waiting: whether the last look left anything to record.
        archived: position of the lake, and of Dagster's records of it (``reconcile_archive``).
    """

    seen: dict[str, int] = field(default_factory=dict)
    complete: dict[str, str] = field(default_factory=dict)
    published: list[int] = field(default_factory=list)
    waiting: bool = True
    archived: list[int] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str | None) -> Cursor:
        """Return the cursor written as ``text``; a new one where there is none, or none that can be read."""
        try:
            content = json.loads(text or "{}")
            return cls(
                {str(name): int(number) for name, number in content["seen"].items()},
                dict(content["complete"]),
                list(content["published"]),
                bool(content["waiting"]),
                list(content["archived"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls()

    def __str__(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


def build_reconcile(limits: ReconcileLimits = ReconcileLimits()) -> dg.SensorDefinition:
    """Return the sensor."""

    @dg.sensor(
        name=NAME,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Records partitions that were published and not recorded, and forgets those that are gone.",
    )
    def reconcile(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.SensorResult | dg.SkipReason:
        cursor = Cursor.parse(context.cursor)
        now = datetime.now(UTC)
        events = _reconcile(context.instance, store.warehouse, cursor, limits, now)
        events += _reconcile_archive(context.instance, store.warehouse, cursor, limits, now)
        if not events and str(cursor) == context.cursor:
            return dg.SkipReason("Dagster's records agree with the store")
        return dg.SensorResult(asset_events=events, cursor=str(cursor))

    return reconcile


def _reconcile(
    instance: dg.DagsterInstance,
    warehouse: Warehouse,
    cursor: Cursor,
    limits: ReconcileLimits,
    now: datetime,
) -> list[dg.AssetMaterialization]:
    """Compare what changed, move ``cursor``, and return what has to be recorded."""
    with warehouse.connection() as connection:
        published = log_position(connection)
    compared = _compare_changed(instance, warehouse, cursor, limits, now)
    if published == cursor.published and not compared and not cursor.waiting:
        return []
    waiting = _unrecorded(warehouse, limits, _unfinished(instance))
    # What waits for its run is looked at again, too.
    cursor.published, cursor.waiting = published, bool(_unrecorded(warehouse, ReconcileLimits(events=1), ()))
    if not waiting:
        return []
    # A run that had ended when its partitions were listed has recorded them by now, or never will: so look once more.
    unfinished = _unfinished(instance)
    _compare_changed(instance, warehouse, cursor, limits, now)
    still = set(_unrecorded(warehouse, limits, unfinished))
    unrecorded = [partition for partition in waiting if partition in still]
    _register(instance, unrecorded)
    return [_materialization(partition) for partition in unrecorded]


def _reconcile_archive(
    instance: dg.DagsterInstance,
    warehouse: Warehouse,
    cursor: Cursor,
    limits: ReconcileLimits,
    now: datetime,
) -> list[dg.AssetMaterialization]:
    """Compare what the lake holds, if that changed, and return what has to be recorded."""
    position = archive_position(instance, warehouse, now.date())
    if position == cursor.archived or _is_archiving(instance):
        return []
    events = reconcile_archive(instance, warehouse, limits.events, instance.get_dynamic_partitions(SYMBOLS))
    if not events:  # otherwise all is looked at once more
        cursor.archived = position
    return events


def _is_archiving(instance: dg.DagsterInstance) -> bool:
    """Whether a run is under way that may be about to record what it archived."""
    unfinished = _unfinished(instance)
    runs = instance.get_runs(dg.RunsFilter(run_ids=sorted(unfinished))) if unfinished else ()
    return any(run.job_name == maintain.name or ARCHIVES & (run.asset_selection or set()) for run in runs)


def _unrecorded(warehouse: Warehouse, limits: ReconcileLimits, unfinished: Collection[str]) -> list[Unrecorded]:
    with warehouse.connection() as connection:
        return list_unrecorded(connection, limit=limits.events, unfinished=unfinished)


def _unfinished(instance: dg.DagsterInstance) -> set[str]:
    """Return the numbers of the runs that may still record what they published."""
    of_status = dg.RunsFilter(statuses=UNFINISHED)
    if instance.get_runs_count(of_status):
        close_dead_runs(instance)
    return {run.run_id for run in instance.get_runs(of_status)}


def _compare_changed(
    instance: dg.DagsterInstance,
    warehouse: Warehouse,
    cursor: Cursor,
    limits: ReconcileLimits,
    now: datetime,
) -> int:
    """Compare the partitions that Dagster recorded since the last look, and of some assets all, if that is due.

    Returns:
        How many partitions were compared.
    """
    newest = dict.fromkeys(_ASSETS.values(), 0)
    for record in instance.get_asset_records(list(_ASSETS.values())):
        newest[record.asset_entry.asset_key] = record.asset_entry.last_materialization_storage_id or 0
    today, compared = f"{now:%Y-%m-%d}", 0
    for timeframe, key in _ASSETS.items():
        name = timeframe.table
        last, seen = newest[key], cursor.seen.get(name, 0)
        # A smaller number than before: the records were wiped.
        whole = (cursor.complete.get(name) != today or last < seen) and compared < limits.compared
        if whole:
            compared += _compare(instance, warehouse, timeframe)
            cursor.complete[name] = today
        elif last > seen:
            compared += _compare(instance, warehouse, timeframe, after=seen)
        elif last < seen:
            continue  # all of it, in a later tick
        cursor.seen[name] = last
    return compared


def _compare(
    instance: dg.DagsterInstance, warehouse: Warehouse, timeframe: Timeframe, *, after: int | None = None
) -> int:
    """Compare partitions recorded after an event, or all; note what is on record, and forget what the store lacks.

    Returns:
        How many partitions were compared.
    """
    key, storage = _ASSETS[timeframe], instance.event_log_storage
    recorded = storage.get_latest_storage_id_by_partition(key, _MATERIALIZATION, after_cursor=after)
    tags = storage.get_latest_tags_by_partition(key, _MATERIALIZATION, [DATA_VERSION], after_cursor=after)
    versions = {partition: tags.get(partition, {}).get(DATA_VERSION) for partition in recorded}
    whole = after is None
    with warehouse.connection() as connection:
        held = newest_changes(connection, timeframe, None if whole else set(recorded))
        on_record = {partition: parse_version(version) for partition, version in versions.items() if partition in held}
        if on_record or (whole and held):
            note_recorded(connection, timeframe, on_record, all_others=whole)
    # A partition that was requested and has no bars, as it should, is on record as that.
    gone = [partition for partition, version in versions.items() if partition not in held and version != NOTHING]
    forget_partitions(storage, key, gone)
    return len(recorded) + len(held)


def _register(instance: dg.DagsterInstance, unrecorded: Collection[Unrecorded]) -> None:
    known = set(instance.get_dynamic_partitions(SYMBOLS))
    missing = sorted({partition.symbol for partition in unrecorded} - known)
    if missing:
        register_symbols(instance, missing)


def _materialization(partition: Unrecorded) -> dg.AssetMaterialization:
    shown: dict[str, Any] = {"note": "recorded later: whoever published it did not come to say so"}
    shown["known since"] = dg.MetadataValue.timestamp(partition.changed_at)
    if partition.origin is not None:
        shown |= {"publication": partition.publication_id, "published by": partition.origin}
    if partition.run_id is not None:
        shown["run"] = dg.MetadataValue.dagster_run(partition.run_id)
    return dg.AssetMaterialization(
        _ASSETS[Timeframe(partition.timeframe)],
        partition=partition.key,
        metadata=shown,
        tags=version_tag(partition.changed_at),
    )
