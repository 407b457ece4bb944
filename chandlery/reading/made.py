"""Bars that are not stored as they are requested: of any width, from every open, or of some hours of a session.

They are made at read time of the widest stored bars that can make them. Not here: the arithmetic (``resample``), and
where bars begin (``core.grid``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.bars.read import BarRange
from chandlery.core.arrow import empty_table, number_array, numpy_of
from chandlery.core.calendars import Int64s, microseconds
from chandlery.core.grid import Anchor, Grid
from chandlery.core.schema import STORED
from chandlery.core.timeframe import Timeframe
from chandlery.core.widths import Width
from chandlery.core.windows import EVER, instant
from chandlery.errors import UsageError
from chandlery.reading.bars import read_bars
from chandlery.reading.lake_files import LakeFiles
from chandlery.reading.released import NEEDED, Released, acceptance
from chandlery.reading.resample import needed_for, resample
from chandlery.reading.tail import read_tail
from chandlery.reading.windows import State
from chandlery.tiers.warehouse import Warehouse

Hours: TypeAlias = Literal["all", "regular", "extended"]
#: ``regular`` are the hours in which a session trades, without breaks; ``extended`` are all others.
HOURS = ("all", "regular", "extended")
Mask: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Shape:
    """Which bars a read is of.

    Attributes:
        width: of the bars.
        grids: where they begin, by instrument.
        hours: whether bars of minutes and hours are of all hours, of regular ones or of extended ones.
        base: the stored timeframe that they are, or are made of.
    """

    width: Width
    grids: Mapping[int, Grid]
    hours: Hours
    base: Timeframe

    @property
    def is_stored(self) -> bool:
        """Whether the bars are stored just so, though perhaps among others."""
        return self.base is self.width.stored

    @property
    def divides_sessions(self) -> bool:
        """Whether not all bars that are stored count."""
        return self.hours != "all" and self.width.is_intraday

    def ranges(self, start: datetime, end: datetime) -> list[BarRange]:
        """Return, of each instrument, where the base bars are of bars that start in ``[start, end)``, UTC."""
        low, high = _micros(start, end)
        covers = {owner: grid.cover(low, high) for owner, grid in self.grids.items()} if low < high else {}
        return [BarRange(owner, instant(first), instant(after)) for owner, (first, after) in covers.items()]

    def in_hours(self, bars: pa.Table) -> Mask:
        """Return which of ``bars``, of ``base`` and sorted by instrument, are of ``hours``."""
        regular = np.zeros(bars.num_rows, np.bool_)
        for owner, part, ts in of_each(bars):
            calendar = self.grids[owner].calendar
            session, _ = calendar.session_of(ts)
            regular[part] = calendar.is_open(ts, session)
        return regular if self.hours == "regular" else ~regular


def make_shape(
    width: Width,
    calendars: Mapping[int, str],
    start: datetime,
    end: datetime,
    *,
    hours: Hours,
    anchor: Anchor,
    from_ingested: bool = False,
) -> Shape:
    """Return which bars are to be read that start in ``[start, end)``, UTC.

    Args:
        width: of the bars.
        calendars: name by instrument.
        start: inclusive.
        end: exclusive.
        hours: see ``Shape``.
        anchor: see ``Grid``.
        from_ingested: make bars that are derived of those that they follow from, ``1m`` or ``1d``.

    Raises:
        UsageError: there are no such bars.
    """
    if hours == "extended" and not width.is_intraday:
        raise UsageError(
            f"session='extended' is not known of timeframe={width.name!r}, whose bars are of whole sessions; allowed:"
            " all regular"
        )
    by_name = {name: Grid(width, name, anchor) for name in sorted(set(calendars.values()))}
    base = width.stored or width.bases[0]
    if width.is_intraday and (hours, anchor) != ("all", "utc"):
        low, high = _micros(start, end)
        bases = (grid.base(low, high, whole_sessions=hours != "all") for grid in by_name.values())
        base = min(bases, key=lambda each: each.rank, default=base)
    base = base.base if from_ingested else base
    return Shape(width, {owner: by_name[name] for owner, name in calendars.items()}, hours, base)


def read_made(
    warehouse: Warehouse,
    shape: Shape,
    start: datetime,
    end: datetime,
    *,
    limit: int | None = None,
    as_of: datetime | None = None,
    columns: Collection[str] = STORED.names,
    state: State | None = None,
    files: LakeFiles | None = None,
    without: Released = frozenset(),
) -> pa.Table:
    """Return the bars of ``shape`` that start in ``[start, end)``, UTC, made of all their base bars.

    Args:
        warehouse: where the base bars are.
        shape: of which instruments and which width.
        start: inclusive. Of a bar that starts before, nothing is returned.
        end: exclusive. A bar that starts before is whole.
        limit: return only the last so many of each instrument.
        as_of: as in ``read_bars``; of the base bars.
        columns: of ``STORED``.
        state: as in ``read_bars``, of the windows that hold ``shape.ranges``.
        files: as in ``read_bars``.
        without: values of base bars of which nothing is made.

    Returns:
        Table of schema ``STORED``, sorted by (instrument_id, ts): ``instrument_id``, ``ts``, and those of ``columns``.
        ``known_at`` is that of the base bar that was learned last.
    """
    needed = {*needed_for(columns), *(NEEDED if without else ())}
    accept = acceptance(shape.in_hours if shape.divides_sessions else None, without)
    low, high = _micros(start, end)
    ranges = shape.ranges(start, end)
    if limit is None:
        bars = read_bars(warehouse, shape.base, ranges, as_of=as_of, columns=needed, state=state, files=files)
        bars = bars if accept is None else bars.filter(number_array(accept(bars)))
    else:
        # Of the first of them, not all base bars may be among the last ones.
        count = (limit + 1) * shape.width.bars_of(shape.base)
        bars = read_tail(
            warehouse, shape.base, ranges, count, as_of=as_of, columns=needed, accept=accept, state=state, files=files
        )
    made = resample(bars, _labels(shape, bars), columns)
    return _chosen(made, low, high, limit)


def of_each(bars: pa.Table) -> Iterator[tuple[int, slice, Int64s]]:
    """Yield each instrument of ``bars``, which are sorted by it, with the place of its bars and their starts, µs."""
    ids, ts = numpy_of(bars["instrument_id"]), numpy_of(bars["ts"]).view(np.int64)
    if not len(ids):
        return
    for first, after in pairwise([0, *(np.flatnonzero(ids[1:] != ids[:-1]) + 1).tolist(), len(ids)]):
        yield int(ids[first]), slice(first, after), ts[first:after]


def _micros(start: datetime, end: datetime) -> tuple[int, int]:
    """Return a range as µs since 1970-01-01, as far as there may be bars."""
    low, high = (microseconds(min(max(edge, EVER[0]), EVER[1])) for edge in (start, end))
    return low, high


def _labels(shape: Shape, bars: pa.Table) -> Int64s:
    labels = np.empty(bars.num_rows, np.int64)
    for owner, part, ts in of_each(bars):
        labels[part] = shape.grids[owner].labels(ts)
    return labels


def _chosen(bars: pa.Table, low: int, high: int, limit: int | None) -> pa.Table:
    """Return the bars that start in ``[low, high)``; of each instrument, the last ``limit``."""
    parts = []
    for _, part, ts in of_each(bars):
        first, after = np.searchsorted(ts, [low, high]).tolist()
        first = first if limit is None else max(first, after - limit)
        parts.append(slice(part.start + first, part.start + after))
    if not parts:
        return empty_table(bars.schema)
    if sum(each.stop - each.start for each in parts) == bars.num_rows:
        return bars
    if len(parts) == 1:
        return bars.slice(parts[0].start, parts[0].stop - parts[0].start)
    return bars.take(number_array(np.concatenate([np.arange(each.start, each.stop) for each in parts])))
