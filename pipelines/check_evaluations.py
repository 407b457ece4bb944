"""Stores what checks said of many partitions in two statements, as Dagster's own storage does for each by itself.

Not here: the events (``event_storage``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
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


def store_evaluations(connection: Connection, numbered: Numbered) -> Numbered:
    """Write evaluations of partitions to the rows that were made when they were planned, or to new ones.

    Args:
        connection: in a transaction.
        numbered: planned and evaluated checks, in the order of their numbers. The planned ones are stored already.

    Returns:
        Those that are left to Dagster's own storage, which takes one at a time: checks of no partition or of no run,
        and those that are in ``numbered`` more than once.

    Raises:
        dagster.DagsterInvariantViolationError: one was planned more than once.
    """
    rows = {number: _row(number, event) for number, event in numbered if event.dagster_event_type == _Evaluated}
    times = Counter(tuple(row[name] for name in _KEY) for row in rows.values())
    alone = {
        number: row
        for number, row in rows.items()
        if row["run_id"] and row["partition"] is not None and times[tuple(row[name] for name in _KEY)] == 1
    }
    if not alone:
        return [each for each in numbered if each[0] in rows]
    given = values(*(column(name, Text) for name in _KEY), *(column(name, kind) for name, kind in _SET.items()))
    given = given.data([tuple(row[name] for name in (*_KEY, *_SET)) for row in alone.values()]).alias("given")
    table = AssetCheckExecutionsTable.c
    statement = (
        update(AssetCheckExecutionsTable)
        .where(*(table[name] == given.c[name] for name in _KEY))
        .values({name: cast(given.c[name], kind) for name, kind in _SET.items()})
        .returning(table.evaluation_event_storage_id)
    )
    stored = Counter(connection.execute(statement).scalars())
    if twice := [number for number, count in stored.items() if count > 1]:
        key = [alone[number]["check_name"] for number in twice]
        raise dg.DagsterInvariantViolationError(f"planned more than once in a run: the check {', '.join(key)}")
    if unplanned := [row for number, row in alone.items() if number not in stored]:
        connection.execute(AssetCheckExecutionsTable.insert(), unplanned)
    return [each for each in numbered if each[0] in rows and each[0] not in alone]


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
