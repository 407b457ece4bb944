"""What a person knows better about calendars: dated closures, and dated sessions with or without hours of their own.

What is entered in ``calendars.yaml`` holds for the whole process (``use_changes``). Not here: the file that says so
(``config.calendars``), the calendars of the library (``calendars``), and calendars with the entries in them
(``dated_sessions``). Whoever only opens a database says what holds, and builds no calendar: so numpy is not needed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, time
from functools import cache, partial
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class DatedSession:
    """A session that there is, whatever the library says.

    Attributes:
        day: its date.
        open: when it opens, in the exchange's zone: on the day before, where that is not before the close. The usual
            time by default.
        close: when it closes, in the exchange's zone, exclusive; the usual time by default.
    """

    day: date
    open: time | None = None
    close: time | None = None


@dataclass(frozen=True, slots=True)
class CalendarChanges:
    """The dated entries of one calendar.

    Attributes:
        closures: days on which there is no session.
        sessions: sessions that there are, or whose hours are others.
    """

    closures: frozenset[date] = frozenset()
    sessions: tuple[DatedSession, ...] = ()

    @property
    def digest(self) -> str:
        """Eight characters that are others wherever the entries are others."""
        entries = sorted(f"-{day}" for day in self.closures) + sorted(
            f"+{each.day} {each.open} {each.close}" for each in self.sessions
        )
        return hashlib.sha256("\n".join(entries).encode()).hexdigest()[:8]


Changes: TypeAlias = Mapping[str, CalendarChanges]

#: Returns what a person knows better, by calendar.
_changes: Callable[[], Changes] = dict


def use_changes(changes: Changes | Callable[[], Changes]) -> None:
    """Let these dated entries, by calendar, hold for every calendar that this process gets from now on.

    Args:
        changes: the entries, or what returns them: it is called when a calendar is first needed.
    """
    global _changes  # noqa: PLW0603 - one process has one configuration
    _changes = cache(changes) if callable(changes) else partial(dict, changes)


def current_changes() -> Changes:
    """Return the dated entries that hold, by calendar."""
    return _changes()
