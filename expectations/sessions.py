"""Sessions as spans of time: which session a bar is labelled with, and which sessions a partition must have.

Not here: the calendar itself (``chandlery.calendars``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

import numpy as np

from chandlery.core.calendars import Calendar, Int64s, get_calendar, microseconds
from chandlery.core.partition import Partition
from chandlery.core.windows import DAY_US

_EPOCH = date(1970, 1, 1).toordinal()
BEGINNING = int(np.iinfo(np.int64).min)
END = int(np.iinfo(np.int64).max)


@dataclass(frozen=True, slots=True)
class Expected:
    """The sessions of which a partition must have bars.

    Attributes:
        days: their dates, days since 1970-01-01.
        edges: one more than ``days``: session ``i`` labels the bars that start in ``[edges[i], edges[i + 1])``.
    """

    days: Int64s
    edges: Int64s


def expected_sessions(partition: Partition, now: datetime) -> Expected:
    """Return the sessions in the requested range that have closed by ``now``, while the instrument was listed."""
    calendar = get_calendar(partition.calendar)
    end = max(partition.start, min(partition.end, now))
    within = calendar.overlapping if partition.timeframe.is_intraday else calendar.between
    span = within(partition.start, end)
    listed, delisted = _listing(calendar, partition)
    begin = max(span.start, listed)
    stop = max(begin, min(span.stop, delisted, int(np.searchsorted(calendar.closes, microseconds(now), side="right"))))
    edges = _edges(partition.calendar, intraday=partition.timeframe.is_intraday)
    return Expected(calendar.sessions[begin:stop], edges[begin : stop + 1])


def listed_span(partition: Partition) -> tuple[int, int]:
    """Return the half-open span, µs since the epoch, of bars of sessions on which the instrument was listed.

    A bar outside trading hours counts to the session nearest to it, so that the evening of the last session, which is
    already the next day in UTC, is still inside.
    """
    if not partition.timeframe.is_intraday:
        begin = BEGINNING if partition.listed is None else _day(partition.listed) * DAY_US
        return begin, END if partition.delisted is None else _day(partition.delisted) * DAY_US
    if partition.listed is None and partition.delisted is None:
        return BEGINNING, END
    edges = _edges(partition.calendar, intraday=True)
    listed, delisted = _listing(get_calendar(partition.calendar), partition)
    return int(edges[listed]), int(edges[delisted])


def _listing(calendar: Calendar, partition: Partition) -> tuple[int, int]:
    """Return the half-open range of positions in ``calendar.sessions`` between listing and delisting."""
    first, stop = 0, len(calendar.sessions)
    if partition.listed is not None:
        first = int(np.searchsorted(calendar.sessions, _day(partition.listed)))
    if partition.delisted is not None:
        stop = int(np.searchsorted(calendar.sessions, _day(partition.delisted)))
    return first, stop


@lru_cache(maxsize=64)
def _edges(name: str, *, intraday: bool) -> Int64s:
    """Return the first instant that each session labels, and the end of time.

    Intraday this is where ``Calendar.session_of`` changes its answer: half way from a close to the next open.
    """
    calendar = get_calendar(name)
    if not intraday:
        return np.append(calendar.sessions * DAY_US, END)
    half_way = (calendar.closes[:-1] + calendar.opens[1:]) // 2 + 1
    return np.concatenate(([BEGINNING], np.minimum(half_way, calendar.opens[1:]), [END]))


def _day(moment: date) -> int:
    return moment.toordinal() - _EPOCH
