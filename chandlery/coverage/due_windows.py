"""Which windows a schedule requests: those of the session that just closed, and those that nobody requested in time.

A machine that was switched off when a window ended requests it when it is on again. Not here: what is missing within
windows that were requested (``repair``), and when a schedule looks (``pipelines.schedules``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

import numpy as np
import psycopg

from chandlery.core.calendars import Calendar, get_calendar, microseconds
from chandlery.core.partition import listed_range
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import DAY_US, EVER, instant, midnight
from chandlery.database.named_queries import query
from chandlery.instruments.registry import Instrument
from chandlery.providers.base import ProviderLimits

_DAY = timedelta(days=1)


def due_windows(
    connection: psycopg.Connection,
    instruments: Sequence[Instrument],
    timeframe: Timeframe,
    *,
    limits: Mapping[str, ProviderLimits],
    since: date,
    now: datetime,
    most: int = 12,
) -> dict[str, list[str]]:
    """Return the keys of the windows to request now, by symbol, oldest first; symbols without any are left out.

    They are the windows of the session that closed in the day before ``now``, if one did, and those of sessions that
    closed and were not requested: of providers that repair looks after, since the last session that was requested; of
    others, since the first. What was never requested at all is not caught up, nor what a provider serves no more.

    Args:
        connection: to the database.
        instruments: which.
        timeframe: ``1m`` or ``1d``.
        limits: of the providers that repair looks after, by name.
        since: no window is earlier than the one of this day.
        now: the present, UTC.
        most: how many different windows at most, the newest; the next call returns the others.
    """
    unrequested: dict[int, list[tuple[int, int]]] = defaultdict(list)
    values = {
        "ids": [instrument.instrument_id for instrument in instruments],
        "repaired": [instrument.provider in limits for instrument in instruments],
        "timeframe": timeframe.value,
        "until": now.date() + _DAY,
    }
    for owner, first, after in connection.execute(query("coverage/unrequested_ranges"), values):
        unrequested[owner].append((first, after))
    found: dict[str, set[str]] = {}
    for instrument in instruments:
        depth = limits[instrument.provider].history_depth.get(timeframe) if instrument.provider in limits else None
        earliest = max(midnight(since), now - depth if depth is not None else EVER[0])
        keys = _windows(instrument, timeframe, unrequested[instrument.instrument_id], earliest, now)
        if keys:
            found[instrument.symbol] = keys
    newest = sorted(set().union(*found.values()), reverse=True)[:most]
    kept = {symbol: sorted(keys.intersection(newest)) for symbol, keys in found.items()}
    return {symbol: keys for symbol, keys in kept.items() if keys}


def last_windows(calendar: Calendar, timeframe: Timeframe, now: datetime) -> tuple[str, str] | None:
    """Return the first and the last window with bars of the session that closed in the day before ``now``, if one did.

    They differ where a session begins on the evening before, in UTC: Sydney's of 1 February opens in January.
    """
    place = _last_closed(calendar, now)
    if place < 0 or microseconds(now) - int(calendar.closes[place]) >= _DAY // timedelta.resolution:
        return None
    return _windows_of(calendar, timeframe, place)


def _last_closed(calendar: Calendar, now: datetime) -> int:
    """Return the place of the last session that has closed by ``now``; -1 where there is none."""
    return int(calendar.closes.searchsorted(microseconds(now), side="right")) - 1


def _windows_of(calendar: Calendar, timeframe: Timeframe, place: int) -> tuple[str, str]:
    """Return the first and the last window with bars of a session."""
    if timeframe.is_intraday:
        first, last = int(calendar.opens[place]), int(calendar.closes[place]) - 1
    else:
        first = last = int(calendar.sessions[place]) * DAY_US
    start, end = (timeframe.window_of(instant(micros)) for micros in (first, last))
    return start.key, end.key


def _windows(
    instrument: Instrument, timeframe: Timeframe, ranges: Sequence[tuple[int, int]], earliest: datetime, now: datetime
) -> set[str]:
    calendar = get_calendar(instrument.calendar)
    closed = _last_closed(calendar, now)
    spans = [tuple(np.searchsorted(calendar.sessions, days)) for days in ranges]
    if last_windows(calendar, timeframe, now) is not None:
        spans.append((closed, closed + 1))
    listed_from, listed_until = listed_range(instrument, timeframe)
    keys: set[str] = set()
    for first, after in spans:
        last = min(int(after) - 1, closed)
        if last < first:
            continue
        oldest, newest = (
            _windows_of(calendar, timeframe, int(first))[0],
            _windows_of(calendar, timeframe, last)[1],
        )
        start = max(timeframe.window(oldest).start, earliest, listed_from)
        keys |= {window.key for window in timeframe.windows(start, min(timeframe.window(newest).end, listed_until))}
    return keys
