"""The sessions of trading calendars in the database. Not here: the calendars themselves (``core.calendars``)."""

from __future__ import annotations

from collections.abc import Iterable

import psycopg

from chandlery.core.calendars import get_calendar
from chandlery.database.named_queries import query


def sync_sessions(connection: psycopg.Connection, calendars: Iterable[str]) -> None:
    """Store the sessions of these calendars as they are known now, with a person's entries. Idempotent."""
    for name in calendars:
        calendar = get_calendar(name)
        connection.execute(
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
