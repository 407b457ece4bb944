"""Which rows belong to which partition: the batch sorted, and a run of rows for each partition.

Not here: whether a row is acceptable there (``evidence``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.core.calendars import Int64s, microseconds
from chandlery.core.partition import Partition
from chandlery.core.schema import conform
from chandlery.core.text import counted
from chandlery.errors import UsageError

Bools: TypeAlias = npt.NDArray[np.bool_]
Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A batch in order.

    Attributes:
        table: schema ``BARS``, sorted by (symbol, ts); rows of one key keep the order in which they came.
        ts: its ``ts``, µs since the epoch.
        symbol: for each row the position of its symbol in alphabetical order.
        partitions: as they were given.
        first: for each partition its first row.
        stop: for each partition the row after its last.
    """

    table: pa.Table
    ts: Int64s
    symbol: Int64s
    partitions: Sequence[Partition]
    first: Int64s
    stop: Int64s

    def count(self, rows: Int64s) -> Int64s:
        """Return how many of ``rows`` (ascending positions) lie in each partition."""
        return np.searchsorted(rows, self.stop) - np.searchsorted(rows, self.first)


def lay_out(bars: pa.Table, partitions: Sequence[Partition]) -> Layout:
    """Sort ``bars`` and assign each row to a partition of its symbol: the one of its time, or else the nearest.

    Raises:
        UsageError: a row has no symbol, ts or source; a symbol was not requested; the partitions are of several
            timeframes or overlap.
    """
    by_symbol = _group(partitions)
    table = conform(bars)
    for name in ("symbol", "ts", "source"):
        if nulls := table.column(name).null_count:
            raise UsageError(f"bars: {counted(nulls, 'row has', 'rows have')} no {name}; every bar needs one")
    names, symbol = _symbols(table)
    if unknown := [name for name in names if name not in by_symbol]:
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        requested = ", ".join(sorted(by_symbol)[:5]) or "none"
        raise UsageError(f"bars: symbols {', '.join(unknown[:5])}{more} were not requested; requested were {requested}")
    ts = table.column("ts").cast(pa.int64()).to_numpy()
    ascending = (symbol[1:] > symbol[:-1]) | ((symbol[1:] == symbol[:-1]) & (ts[1:] >= ts[:-1]))
    if not ascending.all():
        order = np.lexsort((ts, symbol))
        table, ts, symbol = table.take(order), ts[order], symbol[order]
    first, stop = _runs(names, symbol, ts, partitions, by_symbol)
    return Layout(table, ts, symbol, partitions, first, stop)


def floats(column: pa.ChunkedArray) -> Floats:
    """Return a column as numbers, null as NaN; without a copy where none is null."""
    values: Floats = column.combine_chunks().to_numpy(zero_copy_only=False)
    return values


def nulls(column: pa.ChunkedArray) -> Bools:
    """Return which values of a column are null."""
    mask: Bools = column.combine_chunks().is_null().to_numpy(zero_copy_only=False)
    return mask


def _group(partitions: Sequence[Partition]) -> dict[str, list[int]]:
    """Return each symbol's partitions (positions), oldest first."""
    timeframes = {partition.timeframe for partition in partitions}
    if len(timeframes) > 1:
        raise UsageError(f"partitions are of several timeframes ({', '.join(sorted(timeframes))}); give those of one")
    by_symbol: dict[str, list[int]] = {}
    for position in sorted(range(len(partitions)), key=lambda at: partitions[at].start):
        by_symbol.setdefault(partitions[position].symbol, []).append(position)
    for positions in by_symbol.values():
        for earlier, later in pairwise(partitions[position] for position in positions):
            if earlier.end > later.start:
                raise UsageError(f"partitions {earlier.key} and {later.key} overlap; request each time once")
    return by_symbol


def _symbols(table: pa.Table) -> tuple[list[str], Int64s]:
    """Return the symbols that occur, sorted, and for each row the position of its own."""
    column = table.column("symbol").combine_chunks()
    if table.num_rows == 0:
        return [], np.empty(0, dtype=np.int64)
    codes = column.indices.to_numpy()
    present = np.flatnonzero(np.bincount(codes, minlength=len(column.dictionary)))
    names = dict.fromkeys(sorted(column.dictionary.take(present).to_pylist()))
    rank = {name: position for position, name in enumerate(names)}
    positions = np.zeros(len(column.dictionary), dtype=np.int64)
    positions[present] = [rank[name] for name in column.dictionary.take(present).to_pylist()]
    return list(names), positions[codes]


def _runs(
    names: Sequence[str], symbol: Int64s, ts: Int64s, partitions: Sequence[Partition], by_symbol: dict[str, list[int]]
) -> tuple[Int64s, Int64s]:
    first = np.zeros(len(partitions), dtype=np.int64)
    stop = np.zeros(len(partitions), dtype=np.int64)
    edges = np.searchsorted(symbol, np.arange(len(names) + 1))
    for name, begin, end in zip(names, edges[:-1], edges[1:], strict=True):
        positions = by_symbol[name]
        pairs = pairwise(partitions[position] for position in positions)
        # Half way between the end of one partition and the start of the next, which is where they meet if they touch.
        middle = [(microseconds(earlier.end) + microseconds(later.start) + 1) // 2 for earlier, later in pairs]
        cuts = [begin, *(begin + np.searchsorted(ts[begin:end], middle)), end]
        first[positions], stop[positions] = cuts[:-1], cuts[1:]
    return first, stop
