"""Stores what checks said of many partitions in two statements, as Dagster's own storage does for each by itself.

Not here: the events (``event_storage``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import dagster as dg
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._serdes import serialize_value
from sqlalchemy import BigInteger, Connection, DateTime, Text, cast, column, update, values

#: Events with the numbers that the log gave them.
Numbered: TypeAlias = Sequence[tuple[int, dg.EventLogEntry]]
_Evaluated = dg.DagsterEventType.ASSET_CHECK_EVALUATION
#: What tells evaluations apart, and makes each the answer to one that was planned.
_KEY = ("asset_key", "check_name", "run_id", "partition")
_SET = {
    "execution_status": Text,
    "evaluation_event": Text,
    "evaluation_event_timestamp": DateTime,
    "evaluation_event_storage_id": BigInteger,
    "materialization_event_storage_id": BigInteger,
}


def store_checks(
    connection: Connection, numbered: Numbered, store_singly: Callable[[dg.EventLogEntry, int], object]
) -> None:
    """Store what checks said, and that they are planned; what was said of partitions in a run many at a time.

    Args:
        connection: in a transaction.
        numbered: planned and evaluated checks, in the order of their numbers.
        store_singly: stores a single one, as Dagster's own storage does.

    Raises:
        dagster.DagsterInvariantViolationError: one was planned more than once.
    """
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for number, event in numbered:
        row = _row(number, event) if event.dagster_event_type == _Evaluated else {}
        key = tuple(row[name] for name in _KEY) if row.get("run_id") and row["partition"] is not None else None
        if key is None:
            _store(connection, rows.values())
            rows = {}
            store_singly(event, number)
        else:
            rows[key] = row  # what was said last of a partition stays
    _store(connection, rows.values())


def _store(connection: Connection, rows: Collection[Mapping[str, Any]]) -> None:
    """Write evaluations to the rows that were made when they were planned, or to new ones."""
    if not rows:
        return
    given = values(*(column(name, Text) for name in _KEY), *(column(name, kind) for name, kind in _SET.items()))
    given = given.data([tuple(row[name] for name in (*_KEY, *_SET)) for row in rows]).alias("given")
    table = AssetCheckExecutionsTable.c
    statement = (
        update(AssetCheckExecutionsTable)
        .where(*(table[name] == given.c[name] for name in _KEY))
        .values({name: cast(given.c[name], kind) for name, kind in _SET.items()})
        .returning(table.evaluation_event_storage_id)
    )
    stored = Counter(connection.execute(statement).scalars())
    if twice := [row["check_name"] for row in rows if stored[row["evaluation_event_storage_id"]] > 1]:
        raise dg.DagsterInvariantViolationError(f"planned more than once in a run: the check {', '.join(twice)}")
    if unplanned := [row for row in rows if row["evaluation_event_storage_id"] not in stored]:
        connection.execute(AssetCheckExecutionsTable.insert(), unplanned)


def _row(number: int, event: dg.EventLogEntry) -> dict[str, Any]:
    evaluation = event.get_dagster_event().asset_check_evaluation_data
    target = evaluation.target_materialization_data
    return {
        "asset_key": evaluation.asset_key.to_string(),
        "check_name": evaluation.check_name,
        "run_id": event.run_id,
        "partition": evaluation.partition,
        "execution_status": "SUCCEEDED" if evaluation.passed else "FAILED",
        "evaluation_event": serialize_value(event),
        "evaluation_event_timestamp": datetime.fromtimestamp(event.timestamp, UTC).replace(tzinfo=None),
        "evaluation_event_storage_id": number,
        "materialization_event_storage_id": target.storage_id if target else None,
    }
