"""Retention: windows leave the store when their time has come and the lake provably holds them, as they are now.

Not here: how long they stay (``chandlery.lifecycle``), and how they come back (``restore_on_write``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import psycopg
from psycopg import sql

from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import midnight, window_end
from chandlery.database.editions.base import Piece
from chandlery.database.locks import lock_instruments
from chandlery.errors import LakeError
from chandlery.instruments.registry import symbols_of
from chandlery.lake.manifest import (
    Entry,
    WindowState,
    advance_epoch,
    find_entries,
    find_windows,
    mark_cold,
    note_verified,
    width_of,
)
from chandlery.lake.read import verify_part
from chandlery.tiers.restore import find_cold_windows, forget_revisions, restore_window
from chandlery.tiers.warehouse import Warehouse

#: How long a partition may be in use before it is left for the next run.
_PATIENCE = "10s"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A window that retention left in the store, and why."""

    symbol: str
    window: str
    reason: str


@dataclass(frozen=True, slots=True)
class Retention:
    """What one run of retention did to a timeframe.

    Attributes:
        timeframe: of the bars.
        released: (symbol, window's key) of each window that the lake alone answers for now.
        refused: windows that would have left and did not.
        dropped: partitions or chunks that were dropped.
        waiting: those that somebody used so long that they were left for the next run.
        bytes_before: size of the timeframe's table.
        bytes_after: the same afterwards.
    """

    timeframe: Timeframe
    released: list[tuple[str, str]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    dropped: list[Piece] = field(default_factory=list)
    waiting: list[Piece] = field(default_factory=list)
    bytes_before: int = 0
    bytes_after: int = 0


def retain(warehouse: Warehouse, timeframe: Timeframe, before: datetime, *, now: datetime | None = None) -> Retention:
    """Let windows that end by ``before`` leave the store, of which the lake holds the present version.

    Every file is read back whole and compared with what was written, first. A window that is not archived, changed
    since, or whose file is missing or damaged, stays, and is named. Running it again changes nothing; a kill at any
    instant leaves every bar in the store, the lake or both.

    Args:
        warehouse: which.
        timeframe: ``1m`` or ``1d``.
        before: UTC.
        now: the present, UTC; for windows that a person asked to keep for a while.
    """
    now = now or datetime.now(UTC)
    report = Retention(timeframe)
    with warehouse.connection() as connection:
        pieces = warehouse.edition.pieces(connection, timeframe)
        candidates = [
            window
            for window in find_windows(connection, timeframe, date.min, before.date(), cold=False)
            if window_end(timeframe, window.start) <= before and (window.keep_until is None or window.keep_until <= now)
        ]
        symbols = symbols_of(connection, {window.instrument_id for window in candidates})
        entries = find_entries(connection, {w.entry for w in candidates if w.entry is not None and w.is_current})
    by_entry: dict[int, list[WindowState]] = defaultdict(list)
    for window in candidates:
        if window.entry is not None and window.is_current:
            by_entry[window.entry].append(window)
        else:
            why = "it was never archived" if window.entry is None else "it changed since it was archived"
            report.refused.append(_refusal(timeframe, window, symbols, f"{why}; archive it first"))
    for number, windows in by_entry.items():
        reason = _fault(warehouse, entries[number])
        if reason is None:
            _release(warehouse, number, windows, symbols, report)
        else:
            report.refused.extend(_refusal(timeframe, window, symbols, reason) for window in windows)
    _drop(warehouse, timeframe, [piece for piece in pieces if piece.end <= before], report)
    with warehouse.connection() as connection:
        after = sum(piece.bytes for piece in warehouse.edition.pieces(connection, timeframe))
    return Retention(
        timeframe,
        report.released,
        report.refused,
        report.dropped,
        report.waiting,
        sum(piece.bytes for piece in pieces),
        after,
    )


def restore(
    warehouse: Warehouse,
    timeframe: Timeframe,
    windows: Sequence[str],
    *,
    symbols: Sequence[str] | None = None,
    keep_until: datetime | None = None,
) -> dict[tuple[str, str], int]:
    """Bring windows back into the store; return how many bars each has, by (symbol, window's key).

    Each window is a transaction of its own. One that never left is left alone and is not in the answer.

    Args:
        warehouse: which.
        timeframe: ``1m`` or ``1d``.
        windows: keys, as ``2024-01`` (of ``1m``) or ``2024`` (of ``1d``).
        symbols: canonical; all by default.
        keep_until: until when retention leaves them alone, UTC.

    Raises:
        UsageError: a key is not of the right form.
        LakeError: a file is missing or damaged. Windows before it are back.
    """
    restored: dict[tuple[str, str], int] = {}
    for key in windows:
        start = timeframe.window(key).start.date()
        with warehouse.connection() as connection:
            found = find_windows(connection, timeframe, start, window_end(timeframe, start).date(), cold=True)
            names = symbols_of(connection, {window.instrument_id for window in found})
            for window in found:
                if symbols is not None and names[window.instrument_id] not in symbols:
                    continue
                with connection.transaction():
                    lock_instruments(connection, timeframe, [window.instrument_id])
                    for cold in find_cold_windows(connection, timeframe, {(window.instrument_id, start)}):
                        count = restore_window(connection, warehouse, cold, keep_until=keep_until)
                        restored[cold.symbol, key] = count
    return restored


def _fault(warehouse: Warehouse, entry: Entry) -> str | None:
    """Return what is wrong with an entry's files, read back whole just now, or None."""
    try:
        for part in entry.parts:
            verify_part(warehouse.lake, part)
    except LakeError as error:
        return str(error)
    return None


def _refusal(timeframe: Timeframe, window: WindowState, symbols: Mapping[int, str], reason: str) -> Refusal:
    return Refusal(symbols[window.instrument_id], timeframe.window_of(window.start).key, reason)


def _release(
    warehouse: Warehouse, entry: int, windows: Sequence[WindowState], symbols: Mapping[int, str], report: Retention
) -> None:
    """Mark windows cold whose files were verified, unless they changed meanwhile."""
    timeframe = report.timeframe
    with warehouse.connection() as connection, connection.transaction():
        lock_instruments(connection, timeframe, sorted({window.instrument_id for window in windows}))
        advance_epoch(connection, timeframe)
        note_verified(connection, [entry])
        gone = mark_cold(connection, timeframe, windows)
        for window in gone:
            first, after = midnight(window.start), window_end(timeframe, window.start)
            if timeframe is Timeframe.D1:
                connection.execute(
                    "INSERT INTO ops.coverage (instrument_id, timeframe, session, present, outside, first_ts, last_ts)"
                    " SELECT instrument_id, '1d', ts::date, 1, 0, ts, ts FROM market.bars_1d"
                    " WHERE instrument_id = %s AND ts >= %s AND ts < %s ON CONFLICT DO NOTHING",
                    (window.instrument_id, first, after),
                )
            forget_revisions(connection, timeframe, [window.instrument_id], first, after)
    keys = {(window.instrument_id, window.start) for window in gone}
    for window in windows:
        if (window.instrument_id, window.start) in keys:
            report.released.append((symbols[window.instrument_id], timeframe.window_of(window.start).key))
        else:
            report.refused.append(_refusal(timeframe, window, symbols, "it changed a moment ago; archive it first"))


def _drop(warehouse: Warehouse, timeframe: Timeframe, pieces: Sequence[Piece], report: Retention) -> None:
    """Drop the partitions or chunks of which every window has left."""
    for piece in pieces:
        try:
            with warehouse.connection() as connection, connection.transaction():
                connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(_PATIENCE)))
                # Whoever brings a window back counts first as well, so that none comes back into what is being dropped;
                # and whoever is writing bars has finished, so that a new window is seen.
                advance_epoch(connection, timeframe)
                connection.execute(
                    sql.SQL("LOCK TABLE ONLY {} IN SHARE ROW EXCLUSIVE MODE").format(
                        sql.Identifier("market", timeframe.table)
                    )
                )
                if not _is_needed(connection, timeframe, piece):
                    warehouse.edition.drop(connection, timeframe, piece)
                    report.dropped.append(piece)
        except psycopg.errors.LockNotAvailable:
            report.waiting.append(piece)


def _is_needed(connection: psycopg.Connection, timeframe: Timeframe, piece: Piece) -> bool:
    row = connection.execute(
        sql.SQL(
            "SELECT EXISTS (SELECT FROM ops.bar_window WHERE timeframe = %s AND NOT cold AND start < %s"
            " AND start + {}::interval > %s)"
        ).format(width_of(timeframe)),
        (timeframe.value, piece.end, piece.start),
    ).fetchone()
    return bool(row and row[0])
