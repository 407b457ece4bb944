"""Calendars with what a person entered of them: dated closures and sessions.

Not here: the entries (``calendar_changes``), and the calendars of the library (``calendars``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np

from chandlery.core.calendar_changes import CalendarChanges, DatedSession
from chandlery.errors import UsageError

if TYPE_CHECKING:
    from chandlery.core.calendars import Calendar

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: The hours of so many sessions before a day decide which are usual then.
_NEIGHBOURS = 10
#: Open, close, start and end of the break, each as the time since 00:00 of the session's date in the exchange's zone.
_Hours: TypeAlias = tuple[timedelta, timedelta, timedelta, timedelta]


def apply_changes(calendar: Calendar, changes: CalendarChanges) -> Calendar:
    """Return ``calendar`` with ``changes``; its version says that it has some.

    Raises:
        UsageError: a session would overlap the one before it; names both.
    """
    days = np.array([_number(each.day) for each in changes.sessions], dtype=np.int64)
    removed = np.concatenate((days, np.array([_number(day) for day in changes.closures], dtype=np.int64)))
    kept = ~np.isin(calendar.sessions, removed)
    added = np.array([_span(calendar, each) for each in changes.sessions], dtype=np.int64).reshape(-1, 4)
    sessions = np.concatenate((calendar.sessions[kept], days))
    order = np.argsort(sessions)
    old = (calendar.opens, calendar.closes, calendar.break_starts, calendar.break_ends)
    opens, closes, starts, ends = (
        np.concatenate((column[kept], added[:, place]))[order] for place, column in enumerate(old)
    )
    sessions = sessions[order]
    overlaps = np.flatnonzero(opens[1:] < closes[:-1])
    if len(overlaps):
        first, second = (_EPOCH.date() + timedelta(days=int(sessions[overlaps[0] + step])) for step in (0, 1))
        raise UsageError(f"calendar {calendar.name}: the session of {second} would open before that of {first} closes")
    return replace(
        calendar,
        version=f"{calendar.version} with calendars.yaml {changes.digest}",
        sessions=sessions,
        opens=opens,
        closes=closes,
        break_starts=starts,
        break_ends=ends,
    )


def _span(calendar: Calendar, session: DatedSession) -> tuple[int, int, int, int]:
    """Return open, close, start and end of the break, µs since the epoch; the close twice where there is no break."""
    open_, close, break_start, break_end = _usual_hours(calendar, session.day)
    if session.close is not None:
        close = _since_midnight(session.close) or timedelta(days=1)
    if session.open is not None:
        open_ = _since_midnight(session.open)
    if open_ >= close:
        open_ -= timedelta(days=1)
    if not open_ < break_start < break_end < close:
        break_start = break_end = close
    zone = ZoneInfo(calendar.timezone)
    midnight = datetime.combine(session.day, time())
    instants = ((midnight + hours).replace(tzinfo=zone) for hours in (open_, close, break_start, break_end))
    first, second, third, fourth = ((instant - _EPOCH) // timedelta(microseconds=1) for instant in instants)
    return first, second, third, fourth


def _usual_hours(calendar: Calendar, day: date) -> _Hours:
    """Return the hours that most sessions before ``day`` had; those after it where there are none before."""
    at = int(np.searchsorted(calendar.sessions, _number(day)))
    near = range(at - _NEIGHBOURS, at) if at >= _NEIGHBOURS else range(min(_NEIGHBOURS, len(calendar.sessions)))
    zone = ZoneInfo(calendar.timezone)
    counts: Counter[_Hours] = Counter()
    for place in near:
        midnight = datetime.combine(_EPOCH.date() + timedelta(days=int(calendar.sessions[place])), time())
        open_, close, start, end = (
            (_EPOCH + timedelta(microseconds=int(column[place]))).astimezone(zone).replace(tzinfo=None) - midnight
            for column in (calendar.opens, calendar.closes, calendar.break_starts, calendar.break_ends)
        )
        counts[open_, close, start, end] += 1
    return counts.most_common(1)[0][0]


def _since_midnight(moment: time) -> timedelta:
    return datetime.combine(_EPOCH.date(), moment) - datetime.combine(_EPOCH.date(), time())


def _number(day: date) -> int:
    return (day - _EPOCH.date()).days
