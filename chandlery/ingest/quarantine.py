"""Quarantine: rows that the gate rejected wait here with the reason.

They wait until a person releases them (``release``), or until their provider sends something else for the same
sessions: that replaces the entry, though the entry is kept. Not here: the rows of an entry
(``rejected_rows``), and why rows are rejected (``expectations``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from chandlery.core.timeframe import Timeframe
from chandlery.database.named_queries import query

Kind: TypeAlias = Literal["batch", "rows"]


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """One quarantined batch.

    Attributes:
        quarantine_id: number by which it is shown and released.
        instrument_id: number of the instrument.
        symbol: its canonical symbol.
        timeframe: of the rows.
        window_key: the partition's window, ``2024-01`` or ``2024``.
        kind: ``batch``: the whole partition was rejected; ``rows``: only these rows were, and the others published.
        provider: name of the provider that delivered it.
        reason: the broken rules.
        row_count: number of rows.
        arrived_at: when it was first rejected, UTC.
        released_at: when a person released it, UTC; None while it waits.
        release_reason: the reason which that person gave.
        released_by: name of that person; None where it was not recorded.
        good_rows_only: whether only the rows that broke no rule of their own were released.
        replaced: whether its provider has sent something else since for every session of it. It waits no longer then.
        landing_id: number of the answer in the landing zone that the rows came with first; None where it was not kept.
        run_id: the orchestrator's number of the run in which they were rejected first; None outside of a run.
        rules: version of the rules by which they were last; None where that was not recorded.
        requested_at: when the request was sent that they came with, UTC; None where that was not recorded.
        request_start: begin of what was requested, UTC, inclusive.
        request_end: its end, UTC, exclusive.
        file: the file that they were read from, where the provider reads a person's files.
    """

    quarantine_id: int
    instrument_id: int
    symbol: str
    timeframe: str
    window_key: str
    kind: Kind
    provider: str
    reason: str
    row_count: int
    arrived_at: datetime
    released_at: datetime | None
    release_reason: str | None
    released_by: str | None
    good_rows_only: bool
    replaced: bool
    landing_id: int | None
    run_id: str | None
    rules: str | None
    requested_at: datetime | None
    request_start: datetime | None
    request_end: datetime | None
    file: str | None


_WAITING = sql.SQL("released_at IS NULL AND NOT replaced")


def mark_replaced(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    provider: str,
    sessions: Mapping[int, Sequence[str]],
    current: Collection[int],
) -> None:
    """Mark what ``provider`` had sent before as replaced, for the sessions of which it answered again.

    Args:
        connection: in the transaction that publishes the answer.
        timeframe: of the answer.
        provider: name of the provider that answered.
        sessions: the sessions of which it did, as ranges of dates, by instrument id.
        current: numbers of the entries that hold what was rejected of this very answer.
    """
    values = {
        "ids": list(sessions),
        "sessions": ["{" + ",".join(ranges) + "}" for ranges in sessions.values()],
        "timeframe": timeframe.value,
        "provider": provider,
        "current": list(current),
    }
    connection.execute(query("ingest/mark_replaced"), values)


def list_entries(
    connection: psycopg.Connection, *, symbol: str | None = None, everything: bool = False
) -> list[QuarantineEntry]:
    """Return the entries that wait, oldest first; with ``everything`` also those released or replaced.

    Args:
        connection: to the market database.
        symbol: a canonical symbol, for its entries only.
        everything: whether to return also entries that wait no longer.
    """
    conditions = [sql.SQL("true") if everything else _WAITING]
    if symbol is not None:
        conditions.append(sql.SQL("symbol = %(symbol)s"))
    return select_entries(connection, sql.SQL(" AND ").join(conditions), {"symbol": symbol})


def count_waiting(connection: psycopg.Connection) -> int:
    """Return how many entries wait."""
    entries = query("ingest/quarantine_entries", condition=_WAITING)
    row = connection.execute(sql.SQL("SELECT count(*) FROM ({}) AS entry").format(entries)).fetchone()
    return int(row[0]) if row else 0


def mark_released(
    connection: psycopg.Connection, quarantine_id: int, reason: str, *, released_by: str, good_rows_only: bool
) -> None:
    """Record that a person released an entry, and why; in the transaction that publishes its rows."""
    connection.execute(
        "UPDATE ops.quarantine SET released_at = clock_timestamp(), release_reason = %(reason)s,"
        " released_by = %(released_by)s, good_rows_only = %(good_rows_only)s WHERE quarantine_id = %(quarantine_id)s",
        {
            "quarantine_id": quarantine_id,
            "reason": reason,
            "released_by": released_by,
            "good_rows_only": good_rows_only,
        },
    )


def select_entries(
    connection: psycopg.Connection, condition: sql.Composable, values: Mapping[str, object]
) -> list[QuarantineEntry]:
    """Return the entries for which a condition of ``ingest/quarantine_entries`` holds, oldest first."""
    with connection.cursor(row_factory=class_row(QuarantineEntry)) as cursor:
        return cursor.execute(query("ingest/quarantine_entries", condition=condition), values).fetchall()
