"""The parts of a frame, made of bars that were read. Not here: reading them (``api``), and the frame (``frame``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from chandlery.core.arrow import number_array, numpy_of
from chandlery.core.calendars import Int64s, microseconds
from chandlery.core.grid import Grid
from chandlery.core.widths import Width
from chandlery.indicators.registry import Chosen
from chandlery.inference.computed import compute_shown
from chandlery.inference.known import View
from chandlery.reading.made import of_each
from chandlery.reading.warmup import session_numbers

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Known:
    """The bars of one width that were known at a moment, of several symbols.

    Attributes:
        bars: sorted by instrument and time, with ``instrument_id``.
        indicators: a row for each; None where none were requested.
        places: where the bars of each instrument are.
        available: since when each is known, µs since 1970-01-01.
        ends: when each ended, µs.
    """

    bars: pa.Table
    indicators: pa.Table | None
    places: Mapping[int, slice]
    available: Int64s
    ends: Int64s


def make_known(
    width: Width,
    bars: pa.Table,
    view: View,
    calendars: Mapping[int, str],
    *,
    indicators: Sequence[Chosen],
    suspect: Int64s,
    shown: int,
) -> Known:
    """Return what was known of ``bars``, with ``indicators``.

    Args:
        width: of ``bars``.
        bars: as they were read.
        view: from when they are looked at.
        calendars: name by instrument.
        indicators: to compute.
        suspect: places in ``bars`` that no indicator may use.
        shown: how many of the last bars of each instrument need indicators.
    """
    grids = {owner: Grid(width, name) for owner, name in calendars.items()}
    marked = bars.append_column("place", number_array(np.arange(bars.num_rows)))
    known = view.known(marked, grids)
    places = {owner: part for owner, part, _ in of_each(known)}
    computed = None
    if indicators:
        breaks = np.isin(numpy_of(known["place"]), suspect)
        sessions = np.zeros(known.num_rows, np.int64)
        for owner, part in places.items() if width.is_intraday else ():
            one = known.slice(part.start, part.stop - part.start)
            sessions[part] = session_numbers(one, calendars[owner], is_intraday=True)
        numbers = sessions if width.is_intraday else None
        computed = compute_shown(known, places, indicators, breaks=breaks, sessions=numbers, shown=shown)
    ends = np.empty(known.num_rows, np.int64)
    for owner, part, ts in of_each(known):
        ends[part] = grids[owner].ends(ts)
    return Known(known, computed, places, view.available_at(known, grids), ends)


def last_of(known: Known, owner: int, count: int) -> slice:
    """Return the place of the last ``count`` bars of an instrument."""
    part = known.places.get(owner, slice(0, 0))
    return slice(max(part.start, part.stop - count), part.stop)


def context_of(known: Known, owner: int, view: View, window: timedelta) -> slice:
    """Return the place of the minutes of an instrument that began in the window before the moment."""
    part = known.places.get(owner, slice(0, 0))
    ts = numpy_of(known.bars["ts"])[part].view(np.int64)
    return slice(part.start + int(np.searchsorted(ts, microseconds(view.moment - window))), part.stop)


def after_of(bars: pa.Table, moment: datetime) -> pa.Table:
    """Return the minutes of ``bars`` that ended after ``moment``."""
    ends = numpy_of(bars["ts"]).view(np.int64) + _MINUTE // timedelta(microseconds=1)
    return bars.filter(number_array(ends > microseconds(moment)))
