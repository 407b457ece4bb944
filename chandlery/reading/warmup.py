"""What indicators need besides the bars of a range: from where on bars count, their sessions, and which are false.

Not here: the indicators (``indicators``), and reading the bars (``bars``, ``tail``, ``made``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.bars.read import BarRange
from chandlery.core.arrow import number_array, numpy_of, to_list
from chandlery.core.calendars import Int64s, microseconds
from chandlery.core.listing import session_edges
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import EVER, instant
from chandlery.indicators.registry import Chosen
from chandlery.reading.bars import read_bars
from chandlery.reading.made import Shape
from chandlery.reading.released import are_among, suspect_bars
from chandlery.tiers.warehouse import Warehouse


def beginning(chosen: Sequence[Chosen], calendar: str, first: datetime, *, is_intraday: bool) -> datetime:
    """Return from where on bars count for those of ``chosen`` that count up, seen from ``first``, UTC.

    That is ``first`` itself where none does, or where each bar is a session of its own.
    """
    kinds = {each.indicator.counted_from for each in chosen} - {"warm-up"}
    if not is_intraday:
        return EVER[0] if "beginning" in kinds else first
    if not kinds:
        return first
    edges = session_edges(calendar, intraday=True)
    edge = int(edges[int(np.searchsorted(edges, microseconds(first), "right")) - 1])
    return instant(max(edge, microseconds(EVER[0])))


def session_numbers(bars: pa.Table, calendar: str, *, is_intraday: bool) -> Int64s | None:
    """Return the number of each bar's session; None of bars of a day and wider."""
    if not is_intraday:
        return None
    return np.searchsorted(session_edges(calendar, intraday=True), _micros(bars), "right")


def suspect_rows(
    warehouse: Warehouse, shape: Shape, bars: pa.Table, *, as_of: datetime | None
) -> npt.NDArray[np.bool_]:
    """Return which bars of one instrument are confirmed false prints, or were made from one.

    Args:
        warehouse: where they are from.
        shape: of the bars.
        bars: with ``instrument_id``, ``ts`` and ``known_at``, sorted.
        as_of: what was confirmed by then, UTC; by now, if None.
    """
    if not bars.num_rows:
        return np.zeros(0, np.bool_)
    (first,), owner = to_list(bars["ts"].slice(0, 1)), bars["instrument_id"][0].as_py()
    base = Timeframe.M1 if shape.width.is_intraday else Timeframe.D1
    with warehouse.connection() as connection:
        suspects = suspect_bars(connection, base, [owner], first, EVER[1], as_of=as_of)
    if shape.width.stored is base or not suspects:
        return are_among(bars, suspects)
    # Those that are still the false prints that they were found to be, and the bars that they belong to.
    ranges = [BarRange(owner, ts, ts + timedelta(microseconds=1)) for ts in sorted({ts for _, ts, _ in suspects})]
    found = read_bars(warehouse, base, ranges, as_of=as_of, columns=["known_at"])
    found = found.filter(number_array(are_among(found, suspects)))
    if shape.divides_sessions:
        found = found.filter(number_array(shape.in_hours(found)))
    return np.isin(_micros(bars), shape.grids[owner].labels(_micros(found)))


def _micros(bars: pa.Table) -> Int64s:
    return numpy_of(bars["ts"]).astype("datetime64[us]").astype(np.int64)
