"""The asset ``quarantine``, and the release of an entry: what the gate rejected, and a person's decision about it.

Not here: how rows get there (``chandlery.ingest.validate``) and what a release does (``chandlery.ingest.release``).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
from pydantic import Field

from assets.checks import GATE, evaluate_partitions
from assets.choices import choices_of_run
from assets.metadata import counts
from assets.versions import version_tag
from chandlery.app.orchestrator import Listener
from chandlery.core.timeframe import INGESTED
from chandlery.ingest.quarantine import QuarantineEntry, list_entries
from chandlery.ingest.release import release
from chandlery.ingest.result import PartitionResult
from chandlery.tiers.warehouse import Warehouse
from resources.store import StoreResource

QUARANTINE = "quarantine"
#: More lines than anyone reads in a browser.
_SHOWN = 100


class ReleaseConfig(dg.Config):
    """Which entry is released, and why."""

    entry: int = Field(
        description="Number of the entry; the asset `quarantine` and `chandlery quarantine list` show those that wait."
    )
    reason: str = Field(description="Why its rows are right after all. Recorded for good; not blank.")
    released_by: str | None = Field(
        default=None, description="Your name, for the record; that of the operating system's user by default."
    )
    good_rows_only: bool = Field(
        default=False,
        description="Of a partition that was rejected as a whole, publish only the rows that broke no rule.",
    )


@dg.asset(
    name=QUARANTINE,
    deps=[timeframe.table for timeframe in INGESTED],
    group_name="quality",
    kinds={"postgres"},
    description="What the gate rejected and nobody has decided yet. The job release_quarantined releases an entry.",
)
def quarantine(store: StoreResource) -> dg.MaterializeResult[None]:
    """List what waits."""
    return dg.MaterializeResult(metadata=_waiting(store.warehouse))


@dg.op(out={}, tags={"kind": "postgres"})
def release_entry(
    context: dg.OpExecutionContext,
    config: ReleaseConfig,
    store: StoreResource,
    listener: dg.ResourceParam[Listener],
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
    """Publishes the rows of an entry in quarantine, with the reason, and records their partition as materialized."""
    with choices_of_run(context):
        result = release(
            store.warehouse,
            config.entry,
            config.reason,
            released_by=config.released_by,
            good_rows_only=config.good_rows_only,
            run_id=context.run.run_id,
        )
    listener.ingested(result)
    yield from release_events(result, config.reason)
    yield from after_release(context.instance, store.warehouse, result)


def release_events(result: PartitionResult, reason: str) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
    """Yield the events of a released partition: it is materialized, and red no more.

    Args:
        result: what became of it.
        reason: which the person gave.
    """
    key = dg.AssetKey(result.partition.timeframe.table)
    said = f"{result.partition.key}: entry {result.quarantine_id} was released: {reason.strip()}"
    yield dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=GATE,
        passed=not result.quarantined,
        severity=dg.AssetCheckSeverity.WARN,
        description=said,
        metadata={"released": said, "rows that stay in the entry": result.quarantined},
        partition=result.partition.key,
    )
    yield dg.AssetMaterialization(
        key,
        partition=result.partition.key,
        metadata={
            "released": said,
            **counts(result),
            "publication": str(result.publication_id),
        },
        tags=version_tag(result.known_at) if result.known_at is not None else None,
    )


def after_release(
    instance: dg.DagsterInstance, warehouse: Warehouse, result: PartitionResult
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
    """Yield what changed for all partitions together, once the events of the released one are recorded."""
    yield materialize_quarantine(warehouse)
    yield evaluate_partitions(instance, warehouse, result.partition.timeframe)


def materialize_quarantine(warehouse: Warehouse) -> dg.AssetMaterialization:
    """Return the materialization of ``quarantine`` as it is now."""
    return dg.AssetMaterialization(QUARANTINE, metadata=_waiting(warehouse))


def _waiting(warehouse: Warehouse) -> dict[str, Any]:
    with warehouse.connection() as connection:
        entries = list_entries(connection)
    shown: dict[str, Any] = {
        "dagster/row_count": sum(entry.row_count for entry in entries),
        "entries": len(entries),
        "whole partitions": sum(entry.kind == "batch" for entry in entries),
    }
    if entries:
        shown["waiting"] = dg.MetadataValue.table(_records(entries))
    return shown


def _records(entries: Sequence[QuarantineEntry]) -> list[dg.TableRecord]:
    return [
        dg.TableRecord(
            {
                "entry": entry.quarantine_id,
                "timeframe": entry.timeframe,
                "partition": f"{entry.symbol}|{entry.window_key}",
                "what": "whole partition" if entry.kind == "batch" else "rows",
                "rows": entry.row_count,
                "provider": entry.provider,
                "arrived": f"{entry.arrived_at:%Y-%m-%d %H:%M}Z",
                "reason": entry.reason,
            }
        )
        for entry in entries[-_SHOWN:]
    ]
