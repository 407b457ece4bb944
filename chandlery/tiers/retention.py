"""Retention: windows leave the store when their time has come and the lake provably holds them, as they are now.

Not here: how long they stay (``config.lifecycle``), and how they come back (``restore``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import psycopg
from psycopg import sql

from chandlery.bars.bookkeeping import record_days
from chandlery.bars.replace import delete_bars, delete_revisions
from chandlery.bars.window_states import (
    WindowState,
    advance_epoch,
    find_cold_rows,
    find_windows,
    has_hot_windows,
    mark_cold,
)
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import midnight, window_end
from chandlery.database.editions.base import Chunk
from chandlery.database.locks import lock_instruments
from chandlery.errors import LakeError
from chandlery.instruments.registry import symbols_of
from chandlery.lake.manifest import ManifestEntry, find_entries, note_verified
from chandlery.lake.read import verify_file
from chandlery.tiers.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class RetentionLimits:
    """What bounds one run of retention.

    Attributes:
        lock_timeout: how long a partition may be in use before it is left for the next run.
    """

    lock_timeout: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A window that retention left in the store, and why.

    Attributes:
        symbol: canonical.
        window: its key.
        reason: for a person.
    """

    symbol: str
    window: str
    reason: str


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What one run of retention did to a timeframe.

    Attributes:
        timeframe: of the bars.
        released: (symbol, window's key) of each window that the lake alone answers for now.
        refused: windows whose time was over and which stay all the same.
        dropped: partitions or chunks that were dropped.
        waiting: those that were in use for so long that they were left for the next run.
        bytes_before: size of the timeframe's table.
        bytes_after: the same afterwards.
    """

    timeframe: Timeframe
    released: list[tuple[str, str]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    dropped: list[Chunk] = field(default_factory=list)
    waiting: list[Chunk] = field(default_factory=list)
    bytes_before: int = 0
    bytes_after: int = 0


def apply_retention(
    warehouse: Warehouse,
    timeframe: Timeframe,
    before: datetime,
    *,
    now: datetime | None = None,
    limits: RetentionLimits = RetentionLimits(),
) -> RetentionReport:
    """Have windows that end by ``before`` leave the store, if the lake holds their present version.

    A partition or chunk of which every window has left is dropped; from others, the bars of windows that left are
    deleted.

    Every file is read back whole and compared with what was written, first. A window that is not archived, changed
    since, or whose file is missing or damaged, stays, and is named. Running it again changes nothing; a kill at any
    instant leaves every bar in the store, the lake or both.

    Args:
        warehouse: which.
        timeframe: ``1m`` or ``1d``.
        before: UTC.
        now: the present, UTC; for windows that a person asked to keep for a while.
        limits: how long to wait for partitions that are in use.

    Raises:
        LakeError: the lake is not the one that the database's bars were archived to, or is out of reach.
    """
    now = now or datetime.now(UTC)
    with warehouse.connection() as connection:
        chunks = warehouse.edition.chunks(connection, timeframe)
        windows = _due(connection, timeframe, before, now)
        symbols = symbols_of(connection, {window.instrument_id for window in windows})
    report = RetentionReport(timeframe, bytes_before=sum(chunk.bytes for chunk in chunks))
    by_entry = _by_entry(windows, symbols, report)
    if windows:
        warehouse.claim_lake()
    with warehouse.connection() as connection:
        entries = find_entries(connection, by_entry)
    for manifest_id, members in by_entry.items():
        fault = _find_fault(warehouse, entries[manifest_id])
        if fault is None:
            _release(warehouse, manifest_id, members, symbols, report)
        else:
            report.refused.extend(_refusal(timeframe, window, symbols, fault) for window in members)
    _drop(warehouse, timeframe, [chunk for chunk in chunks if chunk.end <= before], report, limits)
    _delete_remnants(warehouse, timeframe)
    with warehouse.connection() as connection:
        bytes_after = sum(chunk.bytes for chunk in warehouse.edition.chunks(connection, timeframe))
    return replace(report, bytes_after=bytes_after)


def _due(connection: psycopg.Connection, timeframe: Timeframe, before: datetime, now: datetime) -> list[WindowState]:
    """Return the windows that end by ``before`` and that nobody asked to keep for longer than ``now``."""
    return [
        window
        for window in find_windows(connection, timeframe, date.min, before.date(), cold=False)
        if window_end(timeframe, window.start) <= before and (window.keep_until is None or window.keep_until <= now)
    ]


def _by_entry(
    windows: Sequence[WindowState], symbols: Mapping[int, str], report: RetentionReport
) -> dict[int, list[WindowState]]:
    """Return the windows that the lake holds as they are now, by the manifest's entry; refuse the others."""
    by_entry: dict[int, list[WindowState]] = defaultdict(list)
    for window in windows:
        if window.manifest_id is not None and window.is_current:
            by_entry[window.manifest_id].append(window)
        else:
            reason = "it was never archived" if window.manifest_id is None else "it changed since it was archived"
            report.refused.append(_refusal(report.timeframe, window, symbols, f"{reason}; archive it first"))
    return by_entry


def _find_fault(warehouse: Warehouse, entry: ManifestEntry) -> str | None:
    """Return what is wrong with an entry's files, read back whole just now, or None."""
    try:
        for file in entry.files:
            verify_file(warehouse.lake, file)
    except LakeError as error:
        return str(error)
    return None


def _refusal(timeframe: Timeframe, window: WindowState, symbols: Mapping[int, str], reason: str) -> Refusal:
    return Refusal(symbols[window.instrument_id], timeframe.window_of(window.start).key, reason)


def _release(
    warehouse: Warehouse,
    manifest_id: int,
    windows: Sequence[WindowState],
    symbols: Mapping[int, str],
    report: RetentionReport,
) -> None:
    """Mark windows cold whose files were verified, unless they changed meanwhile."""
    timeframe = report.timeframe
    with warehouse.connection() as connection, connection.transaction():
        lock_instruments(connection, timeframe, sorted({window.instrument_id for window in windows}))
        advance_epoch(connection, timeframe)
        note_verified(connection, [manifest_id])
        released = mark_cold(connection, timeframe, windows)
        for window in released:
            start, end = midnight(window.start), window_end(timeframe, window.start)
            if timeframe is Timeframe.D1:
                record_days(connection, window.instrument_id, start, end)
            delete_revisions(connection, timeframe, window.instrument_id, start, end)
    for window in windows:
        if window in released:
            report.released.append((symbols[window.instrument_id], timeframe.window_of(window.start).key))
        else:
            report.refused.append(_refusal(timeframe, window, symbols, "it changed a moment ago; archive it first"))


def _drop(
    warehouse: Warehouse,
    timeframe: Timeframe,
    chunks: Sequence[Chunk],
    report: RetentionReport,
    limits: RetentionLimits,
) -> None:
    """Drop the partitions or chunks of which every window has left."""
    lock_timeout = sql.Literal(f"{limits.lock_timeout / timedelta(milliseconds=1):.0f}ms")
    for chunk in chunks:
        with warehouse.connection() as connection:
            try:
                with connection.transaction():
                    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(lock_timeout))
                    # Whoever brings a window back counts first as well, so that none comes back into what is being
                    # dropped; and whoever is writing bars has finished, so that a new window is seen.
                    advance_epoch(connection, timeframe)
                    connection.execute(
                        sql.SQL("LOCK TABLE ONLY {} IN SHARE ROW EXCLUSIVE MODE").format(
                            sql.Identifier("market", timeframe.table)
                        )
                    )
                    if not has_hot_windows(connection, timeframe, chunk.start, chunk.end):
                        warehouse.edition.drop(connection, timeframe, chunk)
                        report.dropped.append(chunk)
            except psycopg.errors.LockNotAvailable:
                report.waiting.append(chunk)


def _delete_remnants(warehouse: Warehouse, timeframe: Timeframe) -> None:
    """Delete the bars of windows that left the store from partitions or chunks that hold other windows too."""
    with warehouse.connection() as connection:
        for chunk in warehouse.edition.chunks(connection, timeframe):
            remnants = find_cold_rows(connection, timeframe, chunk.start, chunk.end)
            if not remnants:
                continue
            with connection.transaction():
                # Whoever brings a window back has finished, or waits: what is still cold then has no other bars.
                lock_instruments(connection, timeframe, sorted({instrument_id for instrument_id, _ in remnants}))
                warehouse.edition.prepare(connection, timeframe, chunk.start, chunk.start)
                for instrument_id, start in find_cold_rows(connection, timeframe, chunk.start, chunk.end):
                    delete_bars(connection, timeframe, instrument_id, midnight(start), window_end(timeframe, start))
