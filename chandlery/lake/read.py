"""Reading archived bars: whole and as they were written, or an error that names the file.

The files name symbols; what is read of them bears instrument ids. Not here: which windows have to be read from the lake
(``reading.planner``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chandlery.core.arrow import number_array, numpy_of
from chandlery.core.digest import digest
from chandlery.core.schema import STORED, SUPERSEDED, TS
from chandlery.core.text import counted
from chandlery.core.windows import InstrumentWindow, midnight, window_end, window_starts
from chandlery.errors import LakeError
from chandlery.lake.bar_file import BarFile, explained
from chandlery.lake.manifest import LakeFile, ManifestEntry
from chandlery.lake.store import Lake


class ReadFile(Protocol):
    """Reads one file of the lake; see ``read_file``."""

    def __call__(
        self,
        lake: Lake,
        file: LakeFile,
        symbols: Sequence[str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Return the rows of one file, of some symbols or all, in ``[start, end)``."""
        ...


def read_entry(
    lake: Lake,
    entry: ManifestEntry,
    windows: Sequence[InstrumentWindow],
    symbols: Mapping[int, str],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    as_of: datetime | None = None,
    columns: Sequence[str] = STORED.names,
    read: ReadFile | None = None,
) -> pa.Table:
    """Return the bars of some windows that start in ``[start, end)``, sorted by (symbol in the file, ts).

    Args:
        lake: where the files are.
        entry: which holds ``windows``.
        windows: of ``entry``.
        symbols: canonical symbol of each instrument of ``windows``, as the files name it.
        start: inclusive, UTC; as early as there is by default.
        end: exclusive, UTC; as late as there is by default.
        as_of: return what was believed at that time, UTC. Then the rows are in no order.
        columns: of ``STORED``, in its order, ``instrument_id`` and ``ts`` among them; no others are returned.
        read: reads a file instead of ``read_file``, and gives the same answer.

    Returns:
        Table of these columns of schema ``STORED``.

    Raises:
        LakeError: a file is missing or damaged; names it.
    """
    selection = _Selection(entry, windows, symbols, start, end, read or read_file)
    if as_of is None:
        return _read(lake, entry.bars, selection, columns)
    moment = pa.scalar(as_of, TS)
    needed = [name for name in STORED.names if name in {*columns, "known_at"}]
    present = _read(lake, entry.bars, selection, needed)
    present = present.filter(pc.less_equal(present["known_at"], moment)).select(columns)
    if entry.revisions is None:
        return present
    earlier = _read(lake, entry.revisions, selection, [*needed, "superseded_at"])
    believed = pc.and_(pc.less_equal(earlier["known_at"], moment), pc.greater(earlier["superseded_at"], moment))
    return pa.concat_tables([present, earlier.filter(believed).select(columns)]).unify_dictionaries()


def read_revisions_of(
    lake: Lake,
    entry: ManifestEntry,
    windows: Sequence[InstrumentWindow],
    symbols: Mapping[int, str],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> pa.Table:
    """Return the earlier values of bars, as a table of schema ``SUPERSEDED``; otherwise as ``read_entry``."""
    if entry.revisions is None:
        return SUPERSEDED.empty_table()
    return _read(lake, entry.revisions, _Selection(entry, windows, symbols, start, end, read_file), SUPERSEDED.names)


def read_file(
    lake: Lake,
    file: LakeFile,
    symbols: Sequence[str] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Return the rows of one file, of some symbols or all, in ``[start, end)``; raise ``LakeError`` naming the file.

    Of ``columns`` alone, where they are given; see ``parquet.read``.
    """
    with open_file(lake, file) as bars:
        return bars.select(symbols, start, end, columns)


@contextmanager
def open_file(lake: Lake, file: LakeFile) -> Iterator[BarFile]:
    """Open one file to read its row groups; raise ``LakeError`` naming the file if it, or what is read, is damaged."""
    try:
        with lake.open(file.path) as source:
            _check_size(source.size(), file.size)
            with explained():
                yield BarFile(source, file.footer_digest)
    except LakeError as error:
        raise _damaged(lake, file, str(error)) from None
    except (OSError, pa.ArrowException) as error:
        raise _damaged(lake, file, str(error)) from error


def verify_file(lake: Lake, file: LakeFile) -> None:
    """Read a file back whole and compare every value with what was written; raise ``LakeError`` naming the file."""
    table = read_file(lake, file)
    if table.num_rows != file.row_count:
        raise _damaged(lake, file, f"it has {counted(table.num_rows, 'row')}, not {file.row_count}")
    if digest(table) != file.digest:
        raise _damaged(lake, file, "its values are not those that were written")


def _check_size(size: int, expected: int) -> None:
    if size != expected:
        raise LakeError(f"it has {counted(size, 'byte')}, not {expected}")


def _damaged(lake: Lake, file: LakeFile, why: str) -> LakeError:
    place = lake.describe(file.path)
    text = why if why.startswith(place) else f"{place}: {why}"
    return LakeError(f"{text}; `chandlery archive --verify` names every such file")


@dataclass(frozen=True, slots=True)
class _Selection:
    """The rows to read of an entry's files: those of ``windows`` in ``[start, end)``; see ``read_entry``."""

    entry: ManifestEntry
    windows: Sequence[InstrumentWindow]
    symbols: Mapping[int, str]
    start: datetime | None
    end: datetime | None
    read: ReadFile


def _read(lake: Lake, file: LakeFile, selection: _Selection, columns: Sequence[str]) -> pa.Table:
    """Return ``columns`` of ``SUPERSEDED``, in its order, of the rows that are selected."""
    entry, timeframe = selection.entry, selection.entry.timeframe
    starts = sorted({window.start for window in selection.windows})
    first, after = midnight(starts[0]), window_end(timeframe, starts[-1])
    start, end = max(first, selection.start or first), min(after, selection.end or after)
    if entry.instrument_id is None:
        ids = {selection.symbols[window.instrument_id]: window.instrument_id for window in selection.windows}
        table = selection.read(lake, file, sorted(ids), start, end, columns=["symbol", *columns[1:]])
        table = table.set_column(0, SUPERSEDED.field("instrument_id"), _ids_of(table["symbol"], ids))
    else:
        table = selection.read(lake, file, None, start, end, columns=columns[1:])
        repeated = number_array(np.full(table.num_rows, entry.instrument_id, np.int32))
        table = table.add_column(0, SUPERSEDED.field("instrument_id"), repeated)
    if len(starts) == sum(1 for _ in timeframe.windows(first, after)):
        return table
    # Some window between the first and the last is not selected, because it is in the store.
    selected = np.isin(window_starts(timeframe, numpy_of(table["ts"])), np.array(starts, "datetime64[D]"))
    return table.filter(number_array(selected))


def _ids_of(names: pa.ChunkedArray, ids: Mapping[str, int]) -> pa.Array:
    """Return the instrument id of each of ``names``, all of which are in ``ids``."""
    coded = names.combine_chunks()
    # The dictionary may hold names of other rows of the file.
    known = np.array([ids.get(name, -1) for name in coded.dictionary.to_pylist()], np.int32)
    return pa.array(known[coded.indices.to_numpy()] if len(coded) else np.empty(0, np.int32))
