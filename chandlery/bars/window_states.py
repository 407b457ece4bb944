"""Where each window of bars is: in the store, in the lake, or in both; and how often that changed.

Writes ``ops.bar_window`` and ``ops.tiering``; that a publication changed a window, ``bookkeeping`` notes. Not here: the
files that hold windows (``lake.manifest``), and the steps by which a window leaves the store and comes back
(``tiers``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import psycopg
from psycopg import sql

from chandlery.core.timeframe import Timeframe
from chandlery.database.arrays import Column
from chandlery.database.named_queries import query


@dataclass(frozen=True, slots=True)
class WindowState:
    """The state of one window of one instrument; see ``ops.bar_window``.

    Attributes:
        instrument_id: whose bars.
        start: first day of the window.
        changed_at: when a publication last changed the window, UTC.
        archived_change: ``changed_at`` of the version that the lake holds; None where it holds none.
        manifest_id: of the manifest's entry that holds that version; None where there is none.
        cold: whether the window left the store, so that the lake alone answers for it.
        keep_until: until when retention leaves the window in the store, UTC; None where nobody asked for that.
    """

    instrument_id: int
    start: date
    changed_at: datetime
    archived_change: datetime | None
    manifest_id: int | None
    cold: bool
    keep_until: datetime | None

    @property
    def is_current(self) -> bool:
        """Whether the lake holds the window as it is now."""
        return self.archived_change == self.changed_at


def find_windows(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    start: date,
    until: date,
    *,
    ids: Iterable[int] | None = None,
    cold: bool | None = None,
) -> list[WindowState]:
    """Return the windows that start in ``[start, until)``, sorted by instrument and first day.

    Args:
        connection: to the database.
        timeframe: ``1m`` or ``1d``.
        start: first day, inclusive.
        until: last day, exclusive.
        ids: of these instruments only; of all by default.
        cold: only windows that left the store (True) or did not (False); all by default.
    """
    values = {
        "timeframe": timeframe.value,
        "start": start,
        "until": until,
        "ids": None if ids is None else Column(np.fromiter(ids, np.int32)),
        "cold": cold,
    }
    rows = connection.execute(query("bars/find_windows"), values).fetchall()
    return [WindowState(*row) for row in rows]


def note_archived(
    connection: psycopg.Connection, timeframe: Timeframe, manifest_id: int, windows: Sequence[WindowState]
) -> None:
    """Note that an entry of the manifest holds ``windows`` as they were when their bars were read.

    A window that changed meanwhile is not current afterwards, and so is due again.
    """
    values = {
        "timeframe": timeframe.value,
        "manifest_id": manifest_id,
        "ids": [window.instrument_id for window in windows],
        "starts": [window.start for window in windows],
        "changes": [window.changed_at for window in windows],
    }
    connection.execute(query("bars/note_archived"), values)


def mark_cold(
    connection: psycopg.Connection, timeframe: Timeframe, windows: Sequence[WindowState]
) -> list[WindowState]:
    """Mark those of ``windows`` cold of which the lake still holds the present version; return these.

    Part of the caller's transaction, which holds the instruments' locks.
    """
    statement = query("bars/mark_cold", bars=sql.Identifier("market", timeframe.table), width=width_of(timeframe))
    values = {
        "timeframe": timeframe.value,
        "ids": [window.instrument_id for window in windows],
        "starts": [window.start for window in windows],
        "manifest_ids": [window.manifest_id for window in windows],
    }
    marked = set(connection.execute(statement, values).fetchall())
    return [window for window in windows if (window.instrument_id, window.start) in marked]


def mark_hot(
    connection: psycopg.Connection, timeframe: Timeframe, window: WindowState, keep_until: datetime | None
) -> None:
    """Mark ``window`` as being in the store, where retention leaves it alone until ``keep_until`` (UTC)."""
    connection.execute(
        "UPDATE ops.bar_window SET cold = false, sources = NULL, keep_until = %(keep_until)s"
        " WHERE timeframe = %(timeframe)s AND instrument_id = %(instrument_id)s AND start = %(start)s",
        {
            "keep_until": keep_until,
            "timeframe": timeframe.value,
            "instrument_id": window.instrument_id,
            "start": window.start,
        },
    )


def forget_files(connection: psycopg.Connection, instrument_id: int) -> None:
    """Have no file of the lake hold the windows of an instrument, all of which are in the store.

    They are archived anew. Part of the caller's transaction, which holds the instrument's locks.
    """
    connection.execute(query("bars/forget_files"), {"instrument_id": instrument_id})


def has_hot_windows(connection: psycopg.Connection, timeframe: Timeframe, start: datetime, end: datetime) -> bool:
    """Return whether any window that overlaps ``[start, end)``, UTC, is in the store."""
    row = connection.execute(
        query("bars/has_hot_windows"),
        {"timeframe": timeframe.value, "width": width_of(timeframe), "start": start, "end": end},
    ).fetchone()
    return bool(row and row[0])


def find_cold_rows(
    connection: psycopg.Connection, timeframe: Timeframe, start: datetime, end: datetime
) -> list[tuple[int, date]]:
    """Return the windows (instrument, first day) that left the store and of which it holds bars in ``[start, end)``."""
    bars = sql.Identifier("market", timeframe.table)
    statement = query("bars/cold_rows", bars=bars, width=width_of(timeframe))
    return connection.execute(statement, {"timeframe": timeframe.value, "start": start, "end": end}).fetchall()


def read_epoch(connection: psycopg.Connection, timeframe: Timeframe) -> int:
    """Return how many times windows of ``timeframe`` left the store or came back."""
    row = connection.execute(
        "SELECT epoch FROM ops.tiering WHERE timeframe = %(timeframe)s", {"timeframe": timeframe.value}
    ).fetchone()
    return int(row[0]) if row else 0


def advance_epoch(connection: psycopg.Connection, timeframe: Timeframe) -> None:
    """Count one more such time; whoever else would count waits until this transaction ends."""
    connection.execute(
        "UPDATE ops.tiering SET epoch = epoch + 1 WHERE timeframe = %(timeframe)s", {"timeframe": timeframe.value}
    )


def width_of(timeframe: Timeframe) -> str:
    """Return the width of a window as the text of an SQL interval."""
    return "1 month" if timeframe.window_kind == "month" else "1 year"
