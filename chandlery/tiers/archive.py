"""Archiving: windows that closed and settled are written to the lake, read back, and entered in the manifest.

Nothing leaves the store here (``retention``), and no file is deleted (``sweep``). A file holds a month of one symbol's
minutes; once a year is closed, its months become one file of the year. A file of days holds a year of every symbol.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime
from io import BytesIO

import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from chandlery.bars.read import BarRange, read_stored, read_stored_revisions
from chandlery.bars.window_states import WindowState, find_windows, note_archived
from chandlery.core.digest import digest
from chandlery.core.schema import with_symbols
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import midnight, window_end
from chandlery.database.locks import lock_archive, lock_instruments
from chandlery.database.named_queries import query
from chandlery.errors import LakeError
from chandlery.instruments.registry import symbols_of
from chandlery.lake import parquet
from chandlery.lake.layout import path_of
from chandlery.lake.manifest import (
    ArchiveScope,
    LakeFile,
    add_entry,
    find_entries,
    next_version,
    retire_entries,
)
from chandlery.lake.read import read_entry, read_revisions_of
from chandlery.lake.staged_file import StagedFile
from chandlery.lake.store import Lake
from chandlery.tiers.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """A file that was written and verified.

    Attributes:
        scope: what it holds.
        version: of the file.
        bars: the file of the present values.
        revisions: the file of the earlier values, where there are any.
        windows: (instrument id, first day) of each window in it.
        seconds: how long it took.
    """

    scope: ArchiveScope
    version: int
    bars: LakeFile
    revisions: LakeFile | None
    windows: Sequence[tuple[int, date]]
    seconds: float

    @property
    def bytes(self) -> int:
        """Size of both files."""
        return self.bars.size + (self.revisions.size if self.revisions else 0)


@dataclass(frozen=True, slots=True)
class _Holding:
    """How the lake holds a window.

    Attributes:
        is_current: whether as it is now.
        manifest_id: of the entry that holds it; None where none does, and so the next two.
        start: first day that the entry's file holds, inclusive.
        until: first day after, exclusive.
    """

    is_current: bool
    manifest_id: int | None
    start: date | None
    until: date | None


def find_due(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    before: datetime,
    *,
    symbols: Collection[str] | None = None,
) -> list[ArchiveScope]:
    """Return what has to be archived of the windows that ended by ``before``, UTC, sorted.

    That is: what changed since it was archived or never was, and the months of a closed year that are files of their
    own.

    Args:
        connection: to the database.
        timeframe: ``1m`` or ``1d``.
        before: windows that end later are left alone.
        symbols: consider only files that hold one of these; by default all.
    """
    values = {"timeframe": timeframe.value, "before": before.date()}
    holdings: dict[ArchiveScope, list[_Holding]] = defaultdict(list)
    symbols_in: dict[ArchiveScope, set[str]] = defaultdict(set)
    for instrument_id, symbol, start, *holding in connection.execute(query("tiers/windows_to_archive"), values):
        if window_end(timeframe, start) > before:
            continue
        scope = _scope(timeframe, instrument_id, symbol, start, before)
        holdings[scope].append(_Holding(*holding))
        symbols_in[scope].add(symbol)
    return sorted(
        scope
        for scope, held in holdings.items()
        if (symbols is None or symbols_in[scope] & set(symbols)) and not _is_done(scope, held)
    )


def archive(warehouse: Warehouse, scopes: Iterable[ArchiveScope]) -> Iterator[ArchivedFile]:
    """Write one file after another, and yield what was done as it is done.

    A file is there under its name, verified, before the manifest says so; the windows' previous files are retired with
    the same transaction. Two that archive the same wait for each other, and the second finds nothing to do. Publishing
    goes on meanwhile: a window that it changes is due again.

    Raises:
        LakeError: the lake is not the database's, it cannot be written, a file did not read back as it was written, or
            a window that left the store cannot be read. What was yielded before stands; nothing else changed.
    """
    claimed = False
    for scope in scopes:
        if not claimed:
            warehouse.claim_lake()
            claimed = True
        file = _archive(warehouse, scope)
        if file is not None:
            yield file


def _scope(timeframe: Timeframe, instrument_id: int, symbol: str, start: date, before: datetime) -> ArchiveScope:
    year = date(start.year, 1, 1), date(start.year + 1, 1, 1)
    if timeframe is Timeframe.D1:
        return ArchiveScope(timeframe, "", *year, None)
    if midnight(year[1]) <= before:
        return ArchiveScope(timeframe, symbol, *year, instrument_id)
    return ArchiveScope(timeframe, symbol, start, window_end(timeframe, start).date(), instrument_id)


def _is_done(scope: ArchiveScope, held: Sequence[_Holding]) -> bool:
    """Whether one file of just this range holds all windows of ``scope`` as they are now."""
    return len({holding.manifest_id for holding in held}) == 1 and all(
        holding.is_current and (holding.start, holding.until) == (scope.start, scope.until) for holding in held
    )


def _archive(warehouse: Warehouse, scope: ArchiveScope) -> ArchivedFile | None:
    began = time.perf_counter()
    timeframe = scope.timeframe
    # The staged files last: once the manifest has them, or where it is unknown whether it has.
    with ExitStack() as staged, warehouse.connection() as connection, connection.transaction():
        lock_archive(connection, timeframe, scope.instrument_id or 0)
        windows, bars, revisions = _collect(warehouse, scope)
        if not bars.num_rows or _is_done(scope, _holdings(connection, windows)):
            return None
        version = next_version(connection, scope)
        bar_file, bar_facts = _stage(warehouse.lake, staged, scope, version, bars)
        revision_file, revision_facts = None, None
        if revisions.num_rows:
            revision_file, revision_facts = _stage(
                warehouse.lake, staged, scope, version, revisions, are_revisions=True
            )
        bar_file.commit(keep_temporary=True)
        if revision_file is not None:
            revision_file.commit(keep_temporary=True)
        manifest_id = add_entry(connection, scope, version, bar_facts, revision_facts)
        note_archived(connection, timeframe, manifest_id, windows)
        retire_entries(connection, timeframe, scope.instrument_id)
    keys = [(window.instrument_id, window.start) for window in windows]
    return ArchivedFile(scope, version, bar_facts, revision_facts, keys, time.perf_counter() - began)


def _holdings(connection: psycopg.Connection, windows: Sequence[WindowState]) -> list[_Holding]:
    ids = {window.manifest_id for window in windows if window.manifest_id is not None}
    entries = find_entries(connection, ids)
    return [
        _Holding(window.is_current, window.manifest_id, entry.start if entry else None, entry.until if entry else None)
        for window in windows
        for entry in (entries.get(window.manifest_id or 0),)
    ]


def _collect(warehouse: Warehouse, scope: ArchiveScope) -> tuple[list[WindowState], pa.Table, pa.Table]:
    """Return the windows of a scope, all their bars, and all earlier values, each sorted by its key."""
    timeframe = scope.timeframe
    ids = None if scope.instrument_id is None else [scope.instrument_id]
    with warehouse.connection() as connection, connection.transaction():
        before = find_windows(connection, timeframe, scope.start, scope.until, ids=ids)
        # While they are held nobody publishes, so that bars, revisions and windows agree.
        lock_instruments(connection, timeframe, sorted({window.instrument_id for window in before}), shared=True)
        windows = find_windows(connection, timeframe, scope.start, scope.until, ids=ids)
        symbols = symbols_of(connection, {window.instrument_id for window in windows})
        ranges = [
            BarRange(window.instrument_id, midnight(window.start), window_end(timeframe, window.start))
            for window in windows
            if not window.cold
        ]
        bars = [read_stored(warehouse.database, timeframe, ranges)]
        revisions = [read_stored_revisions(warehouse.database, timeframe, ranges)]
    by_entry: dict[int, list[WindowState]] = defaultdict(list)
    for window in windows:
        if window.cold and window.manifest_id is not None:
            by_entry[window.manifest_id].append(window)
    with warehouse.connection() as connection:
        entries = find_entries(connection, by_entry)
    for manifest_id, members in by_entry.items():
        bars.append(read_entry(warehouse.lake, entries[manifest_id], members, symbols))
        revisions.append(read_revisions_of(warehouse.lake, entries[manifest_id], members, symbols))
    return windows, _as_in_files(bars, symbols, "ts"), _as_in_files(revisions, symbols, "ts", "known_at")


def _as_in_files(parts: Sequence[pa.Table], symbols: Mapping[int, str], *keys: str) -> pa.Table:
    """Return the rows of ``parts`` with symbols for ids, sorted by symbol and ``keys``."""
    table = with_symbols(pa.concat_tables(parts).unify_dictionaries().combine_chunks(), symbols)
    plain = table.set_column(0, "symbol", table["symbol"].cast(pa.string()))
    order = pc.sort_indices(plain, [("symbol", "ascending"), *((key, "ascending") for key in keys)])
    return table.take(order)


def _stage(
    lake: Lake, staged: ExitStack, scope: ArchiveScope, version: int, table: pa.Table, *, are_revisions: bool = False
) -> tuple[StagedFile, LakeFile]:
    """Write ``table`` under a temporary name and read it back; return the file, and what the manifest says of it.

    Raises:
        LakeError: it cannot be written, or not every value came back.
    """
    path = path_of(scope.timeframe, scope.symbol or None, scope.start, scope.until, version, revisions=are_revisions)
    file = staged.enter_context(lake.staged(path))
    sink = BytesIO()
    shared = scope.instrument_id is None
    rows = parquet.SHARED_ROWS_PER_GROUP if shared else parquet.ROWS_PER_GROUP
    footer_digest = parquet.write(table, sink, rows_per_group=rows)
    content = sink.getvalue()
    file.write(content)
    expected = digest(table)
    with lake.open(file.temporary) as source:
        size = source.size()
        read_back = parquet.read(source, footer_digest=footer_digest)
    if size != len(content) or read_back.num_rows != table.num_rows or digest(read_back) != expected:
        raise LakeError(
            f"{lake.describe(file.path)}: what was written does not read back as it was; nothing was changed"
        )
    return file, LakeFile(file.path, size, footer_digest, table.num_rows, expected)
