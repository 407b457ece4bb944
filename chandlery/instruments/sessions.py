"""The sessions of trading calendars in the database. Not here: the calendars themselves (``core.calendars``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

import psycopg

from chandlery.core.calendars import get_calendar
from chandlery.database.named_queries import query


@dataclass(frozen=True, slots=True)
class SessionChange:
    """A session that came, went or has other hours.

    Attributes:
        calendar: name of its calendar.
        session: its date.
        open: the earlier open of before and after, UTC.
        close: the later close of before and after, UTC.
    """

    calendar: str
    session: date
    open: datetime
    close: datetime


def sync_sessions(connection: psycopg.Connection, calendars: Iterable[str]) -> list[SessionChange]:
    """Store the sessions of these calendars as they are known now, with a person's entries. Idempotent.

    Returns:
        What changed of calendars that were stored before. What follows from it is the caller's
        (``coverage.calendar_changes``).
    """
    changes: list[SessionChange] = []
    for name in calendars:
        calendar = get_calendar(name)
        rows = connection.execute(
            query("instruments/sync_sessions"),
            {
                "calendar": name,
                "version": calendar.version,
                "days": calendar.sessions.tolist(),
                "opens": calendar.opens.tolist(),
                "closes": calendar.closes.tolist(),
                "break_starts": calendar.break_starts.tolist(),
                "break_ends": calendar.break_ends.tolist(),
            },
        )
        changes += [SessionChange(name, *row) for row in rows]
    return changes
