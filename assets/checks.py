"""The checks of ingested bars: what the gate said of each partition, and whether any partition is red now.

Not here: the gate's rules (``expectations``), and what a check's metadata shows (``assets.metadata``).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from assets.metadata import check_metadata, describe_check
from chandlery.core.text import counted
from chandlery.core.timeframe import Timeframe
from chandlery.ingest.quarantine import QuarantineEntry, list_entries
from chandlery.ingest.result import PartitionResult
from chandlery.quality.findings import Finding, list_findings
from chandlery.tiers.warehouse import Warehouse

#: Evaluated for each partition, before it is published.
GATE = "gate"
#: Evaluated for all partitions together, at the end of whatever may have changed one.
PARTITIONS = "no_red_partition"
#: Likewise: whether the gate noticed what nobody has looked at.
FINDINGS = "no_open_finding"
#: The statuses of a partition that is materialized.
GOOD = frozenset({"published", "complete"})
#: More lines than anyone reads in a browser.
_SHOWN = 50
_GATE_ALONE = (
    "The gate audits bars on their way in, so there was nothing to audit. This is how its partitions stand."
    " To audit again what a provider has, materialize its partition; what landed, launch the job replay_landed."
)


@dataclass(frozen=True, slots=True)
class Standing:
    """How the partitions of an asset stand.

    Attributes:
        failed: keys of those that the gate rejected or no provider delivered, or whose run ended before the gate came
            to them, and that nothing has mended since.
        batches: whole partitions that wait in quarantine.
        rows: rows that wait there, of partitions that are published.
    """

    failed: Sequence[str]
    batches: Sequence[QuarantineEntry]
    rows: Sequence[QuarantineEntry]

    @property
    def red(self) -> list[str]:
        """Keys of the partitions that are not as they should be."""
        return sorted({*self.failed, *(_key(entry) for entry in self.batches)})


def check_specs(timeframe: Timeframe) -> list[dg.AssetCheckSpec]:
    """Return the checks of the bars of ``timeframe``."""
    return [
        dg.AssetCheckSpec(
            GATE,
            asset=timeframe.table,
            blocking=True,
            description="Great Expectations audits each partition before it is published: a partition that fails is not"
            " materialized and waits in quarantine. A warning: some of its rows do, and the others are published.",
        ),
        dg.AssetCheckSpec(
            PARTITIONS,
            asset=timeframe.table,
            description="No partition of this asset failed, and none waits in quarantine. The gate's latest result is"
            " that of one partition; this is that of all.",
        ),
        dg.AssetCheckSpec(
            FINDINGS,
            asset=timeframe.table,
            description="The gate noticed nothing that is still open: no jump, no missing or extra session, no copies."
            " A warning: the bars are published. `chandlery findings` shows them, and dismisses what is none.",
        ),
    ]


def evaluate_gate(result: PartitionResult) -> dg.AssetCheckEvaluation:
    """Return what the gate's check says of one partition; a warning where only rows of it were rejected."""
    good = result.status in GOOD or result.status == "empty"
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(result.partition.timeframe.table),
        check_name=GATE,
        passed=good and not result.quarantined,
        severity=dg.AssetCheckSeverity.WARN if good else dg.AssetCheckSeverity.ERROR,
        description=describe_check(result),
        metadata=check_metadata(result),
        partition=result.partition.key,
        blocking=True,
    )


def evaluate_partitions(
    instance: dg.DagsterInstance, warehouse: Warehouse, timeframe: Timeframe
) -> dg.AssetCheckEvaluation:
    """Return whether any partition is red now; a warning where only rows wait in quarantine."""
    return _evaluation(timeframe, PARTITIONS, find_standing(instance, warehouse, timeframe))


def evaluate_alone(
    context: dg.AssetExecutionContext, warehouse: Warehouse, timeframe: Timeframe
) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield what checks say that are executed without their asset: how its partitions stand."""
    if dg.AssetCheckKey(dg.AssetKey(timeframe.table), FINDINGS) in context.selected_asset_check_keys:
        yield evaluate_findings(warehouse, timeframe)
    standing = find_standing(context.instance, warehouse, timeframe)
    for check, more in ((GATE, {"note": _GATE_ALONE}), (PARTITIONS, {})):
        if dg.AssetCheckKey(dg.AssetKey(timeframe.table), check) in context.selected_asset_check_keys:
            yield _evaluation(timeframe, check, standing, more)


def evaluate_findings(warehouse: Warehouse, timeframe: Timeframe) -> dg.AssetCheckEvaluation:
    """Return whether a finding is open: a warning where one is."""
    with warehouse.connection() as connection:
        found = list_findings(connection, timeframe=timeframe)
    rules = Counter(finding.rule for finding in found)
    metadata: dict[str, Any] = {"open findings": len(found), **rules}
    if found:
        newest = sorted(found, key=lambda finding: finding.changed_at, reverse=True)[:_SHOWN]
        metadata["newest"] = dg.MetadataValue.table([dg.TableRecord(_finding(each)) for each in newest])
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(timeframe.table),
        check_name=FINDINGS,
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        description=", ".join(f"{count} {rule}" for rule, count in rules.items()) or "no finding is open",
        metadata=metadata,
    )


def find_standing(instance: dg.DagsterInstance, warehouse: Warehouse, timeframe: Timeframe) -> Standing:
    """Return how the partitions of the bars of ``timeframe`` stand.

    Args:
        instance: whose records tell what the gate last said of each partition.
        warehouse: whose quarantine is looked at.
        timeframe: ``1m`` or ``1d``.
    """
    key = dg.AssetCheckKey(dg.AssetKey(timeframe.table), GATE)
    audited = {
        info.partition_key: info
        for info in instance.event_log_storage.get_asset_check_partition_info([key])
        if info.partition_key is not None
    }
    rejected = {
        partition
        for partition, info in audited.items()
        if info.latest_execution_status.value == "FAILED"
        # What was materialized after it was audited passed with a warning, or was mended otherwise.
        and (info.latest_materialization_storage_id or 0) < info.latest_check_event_storage_id
    }
    last_audit = {partition: info.latest_check_event_storage_id for partition, info in audited.items()}
    failed = sorted(rejected | _abandoned(instance, timeframe, last_audit))
    with warehouse.connection() as connection:
        waiting = [entry for entry in list_entries(connection) if entry.timeframe == timeframe.value]
    batches = [entry for entry in waiting if entry.kind == "batch"]
    return Standing(failed, batches, [entry for entry in waiting if entry.kind == "rows"])


def _abandoned(instance: dg.DagsterInstance, timeframe: Timeframe, last_audit: Mapping[str, int]) -> set[str]:
    """Return the partitions that a run was for, and that were neither audited nor materialized since, because it died.

    A run that came to its end left out only partitions in which there was nothing to do. It evaluated the check of all
    partitions last.
    """
    key = dg.AssetKey(timeframe.table)
    attempts = instance.event_log_storage.get_latest_asset_partition_materialization_attempts_without_materializations(
        key
    )
    unaudited = {partition: run for partition, (run, at) in attempts.items() if last_audit.get(partition, 0) < at}
    if not unaudited:
        return set()
    failed = dg.RunsFilter(run_ids=sorted(set(unaudited.values())), statuses=[dg.DagsterRunStatus.FAILURE])
    dead = {run.run_id for run in instance.get_runs(failed) if not _came_to_its_end(instance, run.run_id)}
    return {partition for partition, run in unaudited.items() if run in dead}


def _came_to_its_end(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether a run evaluated the check of all partitions, which it does last."""
    evaluations = instance.get_records_for_run(
        run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION, limit=1, ascending=False
    ).records
    event = evaluations[0].event_log_entry.dagster_event if evaluations else None
    return event is not None and event.asset_check_evaluation_data.check_name == PARTITIONS


def _evaluation(
    timeframe: Timeframe, check: str, standing: Standing, more: Mapping[str, str] | None = None
) -> dg.AssetCheckEvaluation:
    red, rows = standing.red, sum(entry.row_count for entry in standing.rows)
    metadata: dict[str, Any] = {
        **(more or {}),
        "failed partitions": len(standing.failed),
        "quarantined partitions": len(standing.batches),
        "quarantined rows of published partitions": rows,
    }
    if records := list(_records(standing)):
        metadata["partitions"] = dg.MetadataValue.table(records[:_SHOWN])
    parts = [f"{counted(len(red), 'partition is', 'partitions are')} red: {_names(red)}"] if red else []
    if rows:
        parts.append(
            f"{counted(rows, 'row of a published partition waits', 'rows of published partitions wait')} in quarantine"
        )
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(timeframe.table),
        check_name=check,
        passed=not parts,
        severity=dg.AssetCheckSeverity.ERROR if red else dg.AssetCheckSeverity.WARN,
        description="; ".join(parts) or "no partition is red, and nothing waits in quarantine",
        metadata=metadata,
    )


def _records(standing: Standing) -> Iterator[dg.TableRecord]:
    by_key = {_key(entry): entry for entry in standing.batches}
    for key in standing.red:
        entry = by_key.get(key)
        yield (
            _record(key, entry)
            if entry
            else dg.TableRecord(
                {
                    "partition": key,
                    "what": "failed",
                    "entry": 0,
                    "rows": 0,
                    "reason": "see its latest evaluation of the gate, or the run that ended before it",
                }
            )
        )
    for entry in standing.rows:
        yield _record(_key(entry), entry)


def _record(key: str, entry: QuarantineEntry) -> dg.TableRecord:
    what = "quarantined" if entry.kind == "batch" else "rows quarantined"
    return dg.TableRecord(
        {
            "partition": key,
            "what": what,
            "entry": entry.quarantine_id,
            "rows": entry.row_count,
            "reason": entry.reason,
        }
    )


def _finding(finding: Finding) -> dict[str, str | int]:
    return {
        "finding": finding.finding_id,
        "partition or bar": f"{finding.symbol}|{finding.scope}",
        "rule": finding.rule,
        "detail": finding.detail,
    }


def _key(entry: QuarantineEntry) -> str:
    return f"{entry.symbol}|{entry.window_key}"


def _names(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
    return ", ".join(keys[:5]) + more
