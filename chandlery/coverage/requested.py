"""Which sessions a provider was asked for, and which of them are final.

A session was asked for when a provider answered, whatever it answered: an outage is no answer. It is final when it was
asked for after it had closed and settled. Not here: what is there of a session (``consequences``, ``coverage``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import psycopg

from chandlery.core.calendars import Calendar, get_calendar, microseconds
from chandlery.core.timeframe import Timeframe

Mask: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RequestedRange:
    """A range of which a provider answered.

    Attributes:
        instrument_id: of whom.
        calendar: name of its calendar.
        start: first instant asked for, UTC, inclusive.
        end: end of what was asked for, UTC, exclusive.
        asked_at: when, UTC.
        settles: for how long after a session's close its bars may still change.
    """

    instrument_id: int
    calendar: str
    start: datetime
    end: datetime
    requested_at: datetime
    settlement_delay: timedelta = timedelta()


def record_requested(
    connection: psycopg.Connection, timeframe: Timeframe, asks: Iterable[RequestedRange], *, now: datetime | None = None
) -> None:
    """Record that these ranges were asked for, and answered. Idempotent.

    Args:
        connection: to the database.
        timeframe: ``1m`` or ``1d``.
        asks: the ranges.
        now: the present, UTC, from which sessions are final; the server's clock by default.
    """
    asked: dict[int, list[str]] = defaultdict(list)
    final: dict[int, list[str]] = defaultdict(list)
    calendars: dict[int, str] = {}
    for ask in asks:
        calendar = get_calendar(ask.calendar)
        part, settled = _sessions(calendar, timeframe, ask)
        asked[ask.instrument_id] += _range(calendar, part)
        final[ask.instrument_id] += _range(calendar, settled)
        calendars[ask.instrument_id] = f"{calendar.name} {calendar.version}"
    ids = sorted(owner for owner in asked if asked[owner])
    if not ids:
        return
    connection.execute(
        _RECORD,
        {
            "timeframe": timeframe.value,
            "now": now,
            "ids": ids,
            "sessions": ["{" + ",".join(asked[owner]) + "}" for owner in ids],
            "final": ["{" + ",".join(final[owner]) + "}" for owner in ids],
            "calendars": [calendars[owner] for owner in ids],
        },
    )


def final_sessions(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    calendars: Mapping[int, str],
    as_of: datetime | None = None,
) -> dict[int, Mask]:
    """Return which sessions are final.

    Args:
        connection: to the database.
        timeframe: ``1m`` or ``1d``.
        calendars: name of the calendar by instrument id, of the instruments asked about.
        as_of: which were final then, UTC; now by default.

    Returns:
        By instrument id, one bool for each session of its calendar.
    """
    if as_of is None:
        rows = connection.execute(
            "SELECT a.instrument_id, lower(r) - date '1970-01-01', upper(r) - date '1970-01-01'"
            " FROM ops.requested AS a CROSS JOIN unnest(a.final) AS r"
            " WHERE a.timeframe = %s AND a.instrument_id = ANY(%s)",
            (timeframe.value, list(calendars)),
        )
    else:
        rows = connection.execute(
            "SELECT f.instrument_id, lower(r) - date '1970-01-01', upper(r) - date '1970-01-01'"
            " FROM ops.finalized AS f CROSS JOIN unnest(f.sessions) AS r"
            " WHERE f.timeframe = %s AND f.instrument_id = ANY(%s) AND f.final_at <= %s",
            (timeframe.value, list(calendars), as_of),
        )
    found = {owner: np.zeros(len(get_calendar(name).sessions), np.bool_) for owner, name in calendars.items()}
    for owner, first, after in rows:
        sessions = get_calendar(calendars[owner]).sessions
        found[owner][np.searchsorted(sessions, first) : np.searchsorted(sessions, after)] = True
    return found


def session_ranges(calendar: Calendar, timeframe: Timeframe, start: datetime, end: datetime) -> Sequence[str]:
    """Return the sessions of ``session_slice`` as ranges of dates for a multirange."""
    return _range(calendar, session_slice(calendar, timeframe, start, end))


def session_slice(calendar: Calendar, timeframe: Timeframe, start: datetime, end: datetime) -> slice:
    """Return the slice of sessions that begin in ``[start, end)``: of ``1d`` by their label, else by their open."""
    if timeframe is Timeframe.D1:
        return calendar.between(start, end)
    first, last = np.searchsorted(calendar.opens, [microseconds(start), microseconds(end)])
    return slice(int(first), max(int(first), int(last)))


def _sessions(calendar: Calendar, timeframe: Timeframe, ask: RequestedRange) -> tuple[slice, slice]:
    """Return the sessions that began and were asked for, and those of them that are final by it."""
    part = session_slice(calendar, timeframe, ask.start, ask.end)
    begun = int(np.searchsorted(calendar.opens, microseconds(ask.requested_at)))
    part = slice(part.start, max(part.start, min(part.stop, begun)))
    closes = calendar.closes[part]
    settled = closes + ask.settlement_delay // timedelta(microseconds=1) <= microseconds(ask.requested_at)
    if timeframe is not Timeframe.D1:
        settled &= closes <= microseconds(ask.end)
    return part, slice(part.start, part.start + int(settled.sum()))


def _range(calendar: Calendar, part: slice) -> Sequence[str]:
    """Return the sessions as a range of dates that reaches to the next one, so that ranges join over a weekend."""
    if part.start >= part.stop:
        return []
    days = calendar.sessions
    after = days[part.stop] if part.stop < len(days) else days[part.stop - 1] + 1
    first, last = (np.datetime64(int(day), "D") for day in (days[part.start], after))
    return [f"[{first},{last})"]


_RECORD = """
WITH new AS (
    SELECT id, sessions::datemultirange AS sessions, final::datemultirange AS final, calendar
    FROM unnest(%(ids)s::int4[], %(sessions)s::text[], %(final)s::text[], %(calendars)s::text[])
        AS n (id, sessions, final, calendar)
),
gained AS (
    INSERT INTO ops.finalized AS f (instrument_id, timeframe, final_at, sessions)
    SELECT n.id, %(timeframe)s, coalesce(%(now)s, clock_timestamp()), n.final - coalesce(a.final, '{}'::datemultirange)
    FROM new AS n
    LEFT JOIN ops.requested AS a ON a.instrument_id = n.id AND a.timeframe = %(timeframe)s
    WHERE NOT isempty(n.final - coalesce(a.final, '{}'::datemultirange))
    ON CONFLICT (instrument_id, timeframe, final_at) DO UPDATE SET sessions = f.sessions + excluded.sessions
)
INSERT INTO ops.requested AS a (instrument_id, timeframe, sessions, final, calendar)
SELECT id, %(timeframe)s, sessions, final, calendar FROM new
ON CONFLICT (instrument_id, timeframe) DO UPDATE
SET sessions = a.sessions + excluded.sessions, final = a.final + excluded.final, calendar = excluded.calendar
"""
