"""Archiving: windows that closed and settled are written to the lake, read back, and entered in the manifest.

Nothing leaves the store here (``retention``). A file holds a month of one symbol's minutes; once a year is closed, its
months become one file of the year. A file of days holds a year of every symbol.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from io import BytesIO

import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from chandlery.bars.read import Span, read_stored, read_stored_revisions
from chandlery.core.digest import digest
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import midnight, window_end
from chandlery.database.locks import lock_archive, lock_instruments
from chandlery.errors import LakeError
from chandlery.instruments.registry import symbols_of
from chandlery.lake import parquet
from chandlery.lake.layout import path_of
from chandlery.lake.manifest import (
    Part,
    Scope,
    WindowState,
    enter,
    find_entries,
    find_expired,
    find_windows,
    next_version,
    note_deleted,
)
from chandlery.lake.read import read_entry, read_revisions_of
from chandlery.lake.store import Lake, StagedFile
from chandlery.tiers.warehouse import Warehouse

#: Files on their way are left alone for so long: somebody may be writing them.
_STAGING_GRACE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Archived:
    """A file that was written and verified.

    Attributes:
        scope: what it holds.
        version: of the file.
        bars: the file of the present values.
        revisions: the file of the earlier values, where there are any.
        windows: (instrument id, first day) of each window in it.
        seconds: how long it took.
    """

    scope: Scope
    version: int
    bars: Part
    revisions: Part | None
    windows: Sequence[tuple[int, date]]
    seconds: float

    @property
    def bytes(self) -> int:
        """Size of both files."""
        return self.bars.size + (self.revisions.size if self.revisions else 0)


def find_due(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    before: datetime,
    *,
    symbols: Collection[str] | None = None,
) -> list[Scope]:
    """Return what has to be archived of the windows that ended by ``before``, UTC, sorted.

    That is: what changed since it was archived or never was, and the months of a closed year that are files of their
    own.

    Args:
        connection: to the database.
        timeframe: ``1m`` or ``1d``.
        before: windows that end later are left alone.
        symbols: consider only files that hold one of these; by default all.
    """
    rows = connection.execute(
        "SELECT w.instrument_id, i.symbol, w.start, w.archived_change IS NOT DISTINCT FROM w.changed_at, m.manifest_id,"
        " m.start, m.until FROM ops.bar_window AS w JOIN market.instrument AS i USING (instrument_id)"
        " LEFT JOIN ops.manifest AS m ON m.manifest_id = w.manifest_id WHERE w.timeframe = %s AND w.start < %s",
        (timeframe.value, before.date()),
    ).fetchall()
    held: dict[Scope, list[tuple[bool, int | None, date | None, date | None]]] = defaultdict(list)
    named: dict[Scope, set[str]] = defaultdict(set)
    for instrument_id, symbol, start, current, entry, first, until in rows:
        if window_end(timeframe, start) > before:
            continue
        scope = _scope(timeframe, instrument_id, symbol, start, before)
        held[scope].append((current, entry, first, until))
        named[scope].add(symbol)
    return sorted(
        scope
        for scope, windows in held.items()
        if (symbols is None or named[scope] & set(symbols)) and not _is_done(scope, windows)
    )


def archive(warehouse: Warehouse, scopes: Iterable[Scope]) -> Iterator[Archived]:
    """Write one file after another, and yield what was done as it is done.

    A file is there under its name, verified, before the manifest says so; the windows' previous files are retired with
    the same transaction. Two that archive the same wait for each other, and the second finds nothing to do. Publishing
    goes on meanwhile: a window that it changes is due again.

    Raises:
        LakeError: the lake cannot be written, a file did not read back as it was written, or a window that left the
            store cannot be read. What was yielded before stands; nothing else changed.
    """
    for scope in scopes:
        done = _archive(warehouse, scope)
        if done is not None:
            yield done


def sweep(warehouse: Warehouse, grace: timedelta, *, now: datetime | None = None) -> int:
    """Delete files that were retired more than ``grace`` ago, and what dead writers left; return how many."""
    now = now or datetime.now(UTC)
    count: int = warehouse.lake.sweep(datetime.now(UTC) - _STAGING_GRACE)
    with warehouse.connection() as connection:
        for entry, paths in find_expired(connection, now - grace).items():
            for path in paths:
                warehouse.lake.delete(path)
                count += 1
            note_deleted(connection, entry)
    return count


def _scope(timeframe: Timeframe, instrument_id: int, symbol: str, start: date, before: datetime) -> Scope:
    year = date(start.year, 1, 1), date(start.year + 1, 1, 1)
    if timeframe is Timeframe.D1:
        return Scope(timeframe, "", *year, None)
    if midnight(year[1]) <= before:
        return Scope(timeframe, symbol, *year, instrument_id)
    return Scope(timeframe, symbol, start, window_end(timeframe, start).date(), instrument_id)


def _is_done(scope: Scope, windows: Sequence[tuple[bool, int | None, date | None, date | None]]) -> bool:
    entries = {entry for _, entry, _, _ in windows}
    return (
        all(current for current, _, _, _ in windows)
        and len(entries) == 1
        and all((first, until) == (scope.start, scope.until) for _, _, first, until in windows)
    )


def _archive(warehouse: Warehouse, scope: Scope) -> Archived | None:
    began = time.perf_counter()
    lake = warehouse.lake
    timeframe = scope.timeframe
    with warehouse.connection() as connection, connection.transaction(), ExitStack() as staged:
        lock_archive(connection, timeframe, scope.instrument_id or 0)
        windows, bars, revisions = _collect(warehouse, scope)
        if not bars.num_rows or _is_done(scope, _as_done(connection, windows)):
            return None
        version = next_version(connection, scope)
        files: list[StagedFile] = []
        parts: list[Part | None] = []
        for table, earlier in ((bars, False), (revisions, True)):
            if earlier and not table.num_rows:
                parts.append(None)
                continue
            path = path_of(timeframe, scope.symbol or None, scope.start, scope.until, version, revisions=earlier)
            file = staged.enter_context(lake.staged(path))
            parts.append(_write(lake, file, table))
            files.append(file)
        for file in files:
            file.commit()
        present, superseded = parts
        if present is None:
            raise LakeError(f"{lake.describe(scope.symbol)}: nothing was written")
        enter(connection, scope, version, (present, superseded), windows=windows)
    keys = [(window.instrument_id, window.start) for window in windows]
    return Archived(scope, version, present, superseded, keys, time.perf_counter() - began)


def _as_done(
    connection: psycopg.Connection, windows: Sequence[WindowState]
) -> list[tuple[bool, int | None, date | None, date | None]]:
    entries = find_entries(connection, {window.entry for window in windows if window.entry is not None})
    found = [(window, entries.get(window.entry or 0)) for window in windows]
    return [(w.is_current, w.entry, e.start if e else None, e.until if e else None) for w, e in found]


def _collect(warehouse: Warehouse, scope: Scope) -> tuple[list[WindowState], pa.Table, pa.Table]:
    """Return the windows of a scope, all their bars, and all earlier values, each sorted by its key."""
    timeframe = scope.timeframe
    ids = None if scope.instrument_id is None else [scope.instrument_id]
    with warehouse.connection() as connection, connection.transaction():
        found = find_windows(connection, timeframe, scope.start, scope.until, ids=ids)
        # While they are held nobody publishes, so that bars, revisions and windows agree.
        lock_instruments(connection, timeframe, sorted({window.instrument_id for window in found}), shared=True)
        windows = find_windows(connection, timeframe, scope.start, scope.until, ids=ids)
        symbols = symbols_of(connection, {window.instrument_id for window in windows})
        spans = [
            Span(window.instrument_id, midnight(window.start), window_end(timeframe, window.start))
            for window in windows
            if not window.cold
        ]
        bars = [read_stored(warehouse.database, timeframe, spans, symbols)]
        revisions = [read_stored_revisions(warehouse.database, timeframe, spans, symbols)]
    by_entry: dict[int, list[WindowState]] = defaultdict(list)
    for window in windows:
        if window.cold and window.entry is not None:
            by_entry[window.entry].append(window)
    with warehouse.connection() as connection:
        entries = find_entries(connection, by_entry)
    for entry, members in by_entry.items():
        bars.append(read_entry(warehouse.lake, entries[entry], members, symbols))
        revisions.append(read_revisions_of(warehouse.lake, entries[entry], members, symbols))
    return windows, _sorted(bars, "ts"), _sorted(revisions, "ts", "known_at")


def _sorted(parts: Sequence[pa.Table], *keys: str) -> pa.Table:
    table = pa.concat_tables(parts).unify_dictionaries().combine_chunks()
    plain = table.set_column(0, "symbol", table["symbol"].cast(pa.string()))
    order = pc.sort_indices(plain, [("symbol", "ascending"), *((key, "ascending") for key in keys)])
    return table.take(order)


def _write(lake: Lake, file: StagedFile, table: pa.Table) -> Part:
    """Write ``table`` and read it back; raise ``LakeError`` unless every value came back."""
    sink = BytesIO()
    footer = parquet.write(table, sink)
    content = sink.getvalue()
    file.write(content)
    expected = digest(table)
    with lake.open(file.temporary) as source:
        size = source.size()
        back = parquet.read(source, footer_digest=footer)
    if size != len(content) or back.num_rows != table.num_rows or digest(back) != expected:
        raise LakeError(
            f"{lake.describe(file.path)}: what was written does not read back as it was; nothing was changed"
        )
    return Part(file.path, size, footer, table.num_rows, expected)
