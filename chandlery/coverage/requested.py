"""Which sessions were requested from a provider, and which of them are final.

A session counts as requested once a provider answered, whatever it answered: an outage is no answer. It is final once
it was requested, whole, after it had closed and settled. Not here: which bars a session has (``summary``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import psycopg

from chandlery.core.calendars import Calendar, get_calendar, microseconds
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import instant
from chandlery.database.named_queries import query

Mask: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RequestedRange:
    """A range that was requested of a provider, who answered.

    Attributes:
        instrument_id: of the instrument.
        calendar: name of its calendar.
        start: of the range, UTC, inclusive.
        end: of the range, UTC, exclusive.
        requested_at: when, UTC.
        settlement_delay: for how long after a session's close its bars may still change.
    """

    instrument_id: int
    calendar: str
    start: datetime
    end: datetime
    requested_at: datetime
    settlement_delay: timedelta = timedelta()


def record_requested(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    ranges: Iterable[RequestedRange],
    *,
    now: datetime | None = None,
) -> None:
    """Record that these ranges were requested and answered. Idempotent.

    Args:
        connection: to the database.
        timeframe: ``1m`` or ``1d``.
        ranges: what was requested.
        now: the present, UTC, from which sessions are final; the server's clock by default.
    """
    requested: dict[int, list[str]] = defaultdict(list)
    final: dict[int, list[str]] = defaultdict(list)
    calendars: dict[int, str] = {}
    for item in _joined(ranges):
        calendar = get_calendar(item.calendar)
        sessions, settled = _requested_and_final(calendar, timeframe, item)
        requested[item.instrument_id] += _date_ranges(calendar, sessions)
        final[item.instrument_id] += _date_ranges(calendar, settled)
        calendars[item.instrument_id] = calendar.label
    ids = sorted(instrument_id for instrument_id in requested if requested[instrument_id])
    if not ids:
        return
    connection.execute(
        query("coverage/record_requested"),
        {
            "timeframe": timeframe.value,
            "now": now,
            "ids": ids,
            "sessions": ["{" + ",".join(requested[instrument_id]) + "}" for instrument_id in ids],
            "final": ["{" + ",".join(final[instrument_id]) + "}" for instrument_id in ids],
            "calendars": [calendars[instrument_id] for instrument_id in ids],
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
        calendars: name of the calendar by instrument id.
        as_of: return which were final then, UTC; now by default.

    Returns:
        By instrument id, one bool for each session of its calendar.
    """
    values = {"timeframe": timeframe.value, "ids": list(calendars)}
    if as_of is None:
        rows = connection.execute(query("coverage/final_sessions"), values)
    else:
        rows = connection.execute(query("coverage/final_sessions_as_of"), values | {"as_of": as_of})
    final = {owner: np.zeros(len(get_calendar(name).sessions), np.bool_) for owner, name in calendars.items()}
    for owner, first, after in rows:
        sessions = get_calendar(calendars[owner]).sessions
        final[owner][np.searchsorted(sessions, first) : np.searchsorted(sessions, after)] = True
    return final


def session_ranges(calendar: Calendar, timeframe: Timeframe, start: datetime, end: datetime) -> Sequence[str]:
    """Return the sessions of ``session_slice`` as the texts of ranges of dates, which make up a multirange."""
    return _date_ranges(calendar, session_slice(calendar, timeframe, start, end))


def session_slice(calendar: Calendar, timeframe: Timeframe, start: datetime, end: datetime) -> slice:
    """Return the sessions that begin in ``[start, end)``, UTC: of ``1d`` by their label, else by their open."""
    if timeframe is Timeframe.D1:
        return calendar.between(start, end)
    first, last = np.searchsorted(calendar.opens, [microseconds(start), microseconds(end)])
    return slice(int(first), max(int(first), int(last)))


def whole_sessions(
    calendar: Calendar, timeframe: Timeframe, start: datetime, end: datetime
) -> tuple[datetime, datetime]:
    """Return ``[start, end)``, UTC, widened to the whole sessions in which its first and its last instant lie.

    Of ``1d``, whose sessions are labels, it is the range itself.
    """
    if not timeframe.is_intraday:
        return start, end
    (first, last), (begins_inside, ends_inside) = calendar.session_of(
        np.array([microseconds(start), microseconds(end) - 1])
    )
    return (
        instant(int(calendar.opens[first])) if begins_inside else start,
        instant(int(calendar.closes[last])) if ends_inside else end,
    )


def _joined(ranges: Iterable[RequestedRange]) -> list[RequestedRange]:
    """Return the ranges, those of one instrument that follow each other as one.

    A session may begin in one of them and end in the next, as those of futures do where a month ends.
    """
    joined: list[RequestedRange] = []
    for item in sorted(ranges, key=lambda each: (each.instrument_id, each.start)):
        last = joined[-1] if joined else None
        if last and last == replace(item, start=last.start, end=item.start, requested_at=last.requested_at):
            requested_at = min(last.requested_at, item.requested_at)
            joined[-1] = replace(item, start=last.start, requested_at=requested_at)
        else:
            joined.append(item)
    return joined


def _requested_and_final(calendar: Calendar, timeframe: Timeframe, requested: RequestedRange) -> tuple[slice, slice]:
    """Return the sessions in a range that had begun when it was requested, and those of them that are final by it."""
    sessions = session_slice(calendar, timeframe, requested.start, requested.end)
    requested_at = microseconds(requested.requested_at)
    begun = int(np.searchsorted(calendar.opens, requested_at))
    sessions = slice(sessions.start, max(sessions.start, min(sessions.stop, begun)))
    closes = calendar.closes[sessions]
    settled = closes + requested.settlement_delay // timedelta(microseconds=1) <= requested_at
    if timeframe is not Timeframe.D1:
        settled &= closes <= microseconds(requested.end)
    return sessions, slice(sessions.start, sessions.start + int(settled.sum()))


def _date_ranges(calendar: Calendar, sessions: slice) -> Sequence[str]:
    """Return the sessions as a range of dates up to the next session, so that ranges join over a weekend."""
    if sessions.start >= sessions.stop:
        return []
    days = calendar.sessions
    after = days[sessions.stop] if sessions.stop < len(days) else days[sessions.stop - 1] + 1
    first, last = (np.datetime64(int(day), "D") for day in (days[sessions.start], after))
    return [f"[{first},{last})"]
