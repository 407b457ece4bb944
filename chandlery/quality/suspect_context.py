"""The stored bars around those that changed, which say whether any of them is suspect.

What was published is in the store already, in the same transaction. Bars of windows that left the store are read from
the lake. Not here: which bars are suspect (``suspects``), and their findings (``suspect_findings``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
from psycopg import sql

from chandlery.bars.merge import Changes
from chandlery.bars.read import BarRange
from chandlery.bars.read_arrays import read_in_transaction
from chandlery.bars.window_states import width_of
from chandlery.core.arrow import numpy_of
from chandlery.core.calendars import microseconds
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import instant, midnight, window_end
from chandlery.database.named_queries import query
from chandlery.errors import LakeError
from chandlery.lake.read import read_entry
from chandlery.quality.suspects import PAST
from chandlery.tiers.restore import find_cold_windows
from chandlery.tiers.warehouse import Warehouse

Int64s = npt.NDArray[np.int64]
#: So many bars on each side say whether a bar, the one before it, or one that it is in the past of, is suspect.
AROUND = PAST + 2
#: Changed bars that are at most so many of their widths apart are looked at together.
_LARGEST_GAP = 200
_COLUMNS = ("instrument_id", "ts", "open", "high", "low", "close", "volume", "known_at")


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Stored bars of one instrument in order of time, some of which changed, with their true neighbours.

    Attributes:
        owner: instrument id.
        ts: their starts, µs since the epoch.
        values: a row for each: open, high, low, close, volume (NaN where it is not known).
        known_at: since when each is known, µs since the epoch.
        first: start of the first that was inserted, revised or ended.
        last: start of the last one.
    """

    owner: int
    ts: Int64s
    values: npt.NDArray[np.float64]
    known_at: Int64s
    first: int
    last: int

    @property
    def judged(self) -> slice:
        """Positions of the bars of which all neighbours are here, and that the changes can have made suspect or not."""
        at, after = np.searchsorted(self.ts, self.first), np.searchsorted(self.ts, self.last, "right")
        return slice(max(int(at) - 1, 0), min(int(after) + PAST + 1, len(self.ts)))


@dataclass(frozen=True, slots=True)
class _Range:
    """Where the bars of a stretch lie: from ``low`` to ``high`` in the store, and in windows that left it."""

    owner: int
    first: datetime
    last: datetime
    low: datetime
    high: datetime
    cold: Sequence[date]


def read_stretches(
    connection: psycopg.Connection, warehouse: Warehouse, timeframe: Timeframe, changes: Changes
) -> Iterator[Stretch]:
    """Yield the bars around ``changes``, disjoint where they are of one instrument.

    Where a file of the lake that holds neighbours cannot be read, there is no stretch: publishing does not need it.

    Args:
        connection: in the transaction that changed them.
        warehouse: to which ``connection`` belongs.
        timeframe: of the bars.
        changes: what was inserted, revised or ended; there may be nothing.
    """
    if not len(changes):
        return
    found = _find(connection, timeframe, changes)
    spans = [BarRange(each.owner, each.low, _after(each.high)) for each in found]
    stored = read_in_transaction(connection, warehouse.database, timeframe, spans, columns=_COLUMNS)
    owners, ts = numpy_of(stored["instrument_id"]), _micros(stored["ts"])
    for each, span in zip(found, spans, strict=True):
        start, stop = np.searchsorted(owners, each.owner), np.searchsorted(owners, each.owner, "right")
        begin, end = np.searchsorted(ts[start:stop], [microseconds(span.start), microseconds(span.end)])
        bars = stored.slice(int(start + begin), int(end - begin))
        try:
            yield _stretch(each, _with_cold(connection, warehouse, timeframe, each, bars) if each.cold else bars)
        except LakeError:
            continue


def _find(connection: psycopg.Connection, timeframe: Timeframe, changes: Changes) -> list[_Range]:
    """Return where the bars around ``changes`` lie, by instrument and time."""
    order = np.lexsort((changes.ts, changes.instrument_id))
    ids, ts = changes.instrument_id[order], changes.ts[order].astype(np.int64)
    is_first = np.r_[True, (np.diff(ids) != 0) | (np.diff(ts) > _LARGEST_GAP * timeframe.microseconds)]
    starts = np.flatnonzero(is_first)
    owners = ids[starts].tolist()
    firsts = [instant(each) for each in ts[starts].tolist()]
    lasts = [instant(each) for each in ts[np.r_[starts[1:], len(ts)] - 1].tolist()]
    values = {"timeframe": timeframe.value, "width": width_of(timeframe), "around": AROUND}
    statement = query("quality/neighbours", bars=sql.Identifier("market", timeframe.table))
    rows = connection.execute(statement, {**values, "ids": owners, "firsts": firsts, "lasts": lasts})
    ranges: list[_Range] = []
    for owner, first, last, (_, low, high, cold) in zip(owners, firsts, lasts, rows, strict=True):
        if ranges and (before := ranges[-1]).owner == owner and low <= before.high:
            windows = sorted({*before.cold, *cold})
            ranges[-1] = _Range(owner, before.first, last, min(before.low, low), max(before.high, high), windows)
        else:
            ranges.append(_Range(owner, first, last, low, high, cold))
    return ranges


def _with_cold(
    connection: psycopg.Connection, warehouse: Warehouse, timeframe: Timeframe, found: _Range, bars: pa.Table
) -> pa.Table:
    """Return ``bars`` with those of cold windows, from the nearest on, until there are enough on both sides."""
    first, last = microseconds(found.first), microseconds(found.last)
    before = [start for start in reversed(found.cold) if midnight(start) <= found.first]
    for windows, is_before in ((before, True), ([start for start in found.cold if start not in before], False)):
        for start in windows:
            ts = _micros(bars["ts"])
            edges = (
                (microseconds(window_end(timeframe, start)), first)
                if is_before
                else (last + 1, microseconds(midnight(start)))
            )
            if np.count_nonzero((ts >= edges[0]) & (ts < edges[1])) >= AROUND:
                break
            for window in find_cold_windows(connection, timeframe, {(found.owner, start)}):
                symbols = {found.owner: window.symbol}
                cold = read_entry(warehouse.lake, window.entry, [window.state], symbols, columns=_COLUMNS)
                bars = pa.concat_tables([bars, cold]).sort_by("ts")
    return bars


def _stretch(found: _Range, bars: pa.Table) -> Stretch:
    """Return a stretch of at most ``AROUND`` bars on each side, so that none is judged with too few before it."""
    first, last, ts = microseconds(found.first), microseconds(found.last), _micros(bars["ts"])
    start = max(int(np.searchsorted(ts, first)) - AROUND, 0)
    bars = bars.slice(start, int(np.searchsorted(ts, last, "right")) + AROUND - start)
    names = ("open", "high", "low", "close", "volume")
    values = [bars[name].to_numpy() for name in names]
    return Stretch(found.owner, _micros(bars["ts"]), np.column_stack(values), _micros(bars["known_at"]), first, last)


def _micros(column: pa.ChunkedArray) -> Int64s:
    return np.asarray(column.cast(pa.int64()).to_numpy(), np.int64)


def _after(moment: datetime) -> datetime:
    return moment + (instant(1) - instant(0))
