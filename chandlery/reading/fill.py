"""Bars for the slots of a calendar in which nothing was traded, made of the bar before; each is marked.

Not here: the reads (``api``), and where the slots are (``core.grid``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.core.arrow import number_array, numpy_of
from chandlery.core.calendars import Int64s
from chandlery.core.grid import Grid
from chandlery.core.schema import PRICES, TS
from chandlery.reading.made import of_each

Fill: TypeAlias = Literal["none", "previous"]
FILLS = ("none", "previous")
#: The column that says whether a bar is filled in.
FILLED = "filled"


def needed_to_fill(columns: Sequence[str]) -> list[str]:
    """Return ``columns``, with ``close`` where prices are filled in."""
    return [*columns, *["close"] * ("close" not in columns and any(name in PRICES for name in columns))]


def fill_slots(
    bars: pa.Table,
    grids: Mapping[int, Grid],
    known_until: Mapping[int, int],
    start: int,
    end: int,
    *,
    limit: int | None = None,
) -> pa.Table:
    """Return ``bars`` from ``start`` on, with a bar for every slot between known bars that has none.

    A filled bar has the close before as its prices, a volume of 0, and nothing else.

    Args:
        bars: sorted by (instrument_id, ts), with ``needed_to_fill``; of each instrument, the last one before ``start``
            and all in ``[start, end)``.
        grids: by instrument.
        known_until: the start of the last bar that is known of each instrument, wherever it is; µs since 1970-01-01.
        start: where rows begin, µs, inclusive.
        end: exclusive.
        limit: return only the last so many rows of each instrument.

    Returns:
        The columns of ``bars`` and ``FILLED``.
    """
    parts = [
        _of_one(part.start, ts, grids[owner].expected(int(max(start, ts[0])), min(end, known_until[owner])), start)
        for owner, part, ts in of_each(bars)
    ]
    rows = _Rows.joined([part if limit is None else part.last(limit) for part in parts])
    columns = [_column(bars, name, rows) for name in bars.column_names]
    return pa.Table.from_arrays([*columns, number_array(rows.made)], [*bars.column_names, FILLED])


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows that are handed out.

    Attributes:
        places: of the bar that each is, or repeats.
        times: where each begins, µs since 1970-01-01.
        made: whether it is filled in.
    """

    places: Int64s
    times: Int64s
    made: npt.NDArray[np.bool_]

    @classmethod
    def joined(cls, parts: Sequence[_Rows]) -> _Rows:
        """Return the rows of all ``parts``."""
        return cls(
            np.concatenate([np.empty(0, np.int64), *(part.places for part in parts)]),
            np.concatenate([np.empty(0, np.int64), *(part.times for part in parts)]),
            np.concatenate([np.empty(0, np.bool_), *(part.made for part in parts)]),
        )

    def last(self, count: int) -> _Rows:
        """Return the last so many of them."""
        return _Rows(self.places[-count:], self.times[-count:], self.made[-count:])


def _of_one(first: int, ts: Int64s, slots: Int64s, start: int) -> _Rows:
    """Return the rows of one instrument from ``start`` on, whose bars begin at place ``first``."""
    missing = np.setdiff1d(slots, ts, assume_unique=True)
    times = np.concatenate([ts, missing])
    rows = np.concatenate([np.arange(len(ts)), np.searchsorted(ts, missing) - 1])
    order = np.argsort(times, kind="stable")
    order = order[(times[order] >= start) & (rows[order] >= 0)]
    return _Rows(rows[order] + first, times[order], order >= len(ts))


def _column(bars: pa.Table, name: str, rows: _Rows) -> pa.Array | pa.ChunkedArray:
    import pyarrow.compute as pc  # noqa: PLC0415 - slow to import, and few reads are filled

    if name == "instrument_id":
        return number_array(numpy_of(bars[name])[rows.places])
    if name == "ts":
        return number_array(rows.times.view("datetime64[us]")).cast(TS)
    places, filled = number_array(rows.places), number_array(rows.made)
    if name == "close" or not rows.made.any():
        return bars[name].take(places)
    if name in PRICES:
        return pc.if_else(filled, bars["close"].take(places), bars[name].take(places))
    if name == "volume":
        return pc.if_else(filled, pa.scalar(0.0), bars[name].take(places))
    return bars[name].take(pa.array(rows.places, mask=rows.made))
