"""When an instrument was listed, as a span of time: which bars are of sessions on which it traded.

Not here: the sessions themselves (``calendars``).
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import numpy as np

from chandlery.core.calendars import Calendar, Int64s, get_calendar
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import DAY_US

_EPOCH = date(1970, 1, 1).toordinal()
BEGINNING = int(np.iinfo(np.int64).min)
END = int(np.iinfo(np.int64).max)


def listed_span(calendar: str, timeframe: Timeframe, listed: date | None, delisted: date | None) -> tuple[int, int]:
    """Return the half-open span, µs since the epoch, of bars of sessions on which an instrument was listed.

    A bar outside trading hours counts to the session nearest to it, so that the evening of the last session, which is
    already the next day in UTC, is still inside.

    Args:
        calendar: name of its calendar.
        timeframe: of the bars.
        listed: its first session, where known.
        delisted: the first session on which it no longer traded, where known.

    Returns:
        Start, inclusive, and end, exclusive; ``BEGINNING`` and ``END`` where there is no such limit.
    """
    if not timeframe.is_intraday:
        begin = BEGINNING if listed is None else _day(listed) * DAY_US
        return begin, END if delisted is None else _day(delisted) * DAY_US
    if listed is None and delisted is None:
        return BEGINNING, END
    edges = session_edges(calendar, intraday=True)
    first, stop = listed_sessions(get_calendar(calendar), listed, delisted)
    return int(edges[first]), int(edges[stop])


def listed_sessions(calendar: Calendar, listed: date | None, delisted: date | None) -> tuple[int, int]:
    """Return the half-open range of positions in ``calendar.sessions`` between listing and delisting."""
    first, stop = 0, len(calendar.sessions)
    if listed is not None:
        first = int(np.searchsorted(calendar.sessions, _day(listed)))
    if delisted is not None:
        stop = int(np.searchsorted(calendar.sessions, _day(delisted)))
    return first, stop


def session_edges(name: str, *, intraday: bool) -> Int64s:
    """Return the first instant that each session of a calendar labels, µs since the epoch, and the end of time.

    Intraday this is where ``Calendar.session_of`` changes its answer: half way from a close to the next open.
    """
    return _edges(get_calendar(name), intraday)


@lru_cache(maxsize=64)
def _edges(calendar: Calendar, intraday: bool) -> Int64s:
    if not intraday:
        return np.append(calendar.sessions * DAY_US, END)
    half_way = (calendar.closes[:-1] + calendar.opens[1:]) // 2 + 1
    return np.concatenate(([BEGINNING], np.minimum(half_way, calendar.opens[1:]), [END]))


def _day(moment: date) -> int:
    return moment.toordinal() - _EPOCH
