"""``calendars.yaml``: dated sessions and closures that a person knows better than the library of calendars.

Everything is checked when it is read, and an error points at file, line and key, except for what takes two seconds to
find out (``check_changes``). Not here: what becomes of a calendar by it (``core.calendar_changes``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from chandlery.config.universe import Day
from chandlery.config.yaml_document import Document, Root, Section, list_choices, problem_at
from chandlery.core.calendar_changes import CalendarChanges, DatedSession
from chandlery.core.calendars import FIRST_SESSION, calendar_names, get_original
from chandlery.core.dated_sessions import apply_changes
from chandlery.errors import UsageError


def _clock(value: object) -> object:
    if value is None or isinstance(value, time):
        return value
    if re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", str(value)) is None:
        raise ValueError(f"{value!r} is not a time of day; write 09:30, in the zone of the exchange")
    return time.fromisoformat(str(value))


Clock: TypeAlias = Annotated[time | None, BeforeValidator(_clock)]


class _Dated(Section):
    """What stands for a date. A date alone is enough.

    Attributes:
        date: which.
        reason: why, for a person.
    """

    date: Day
    reason: str = ""

    @model_validator(mode="before")
    @classmethod
    def _is_a_date_alone(cls, data: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        return data if isinstance(data, Mapping) else {"date": data}

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if self.date < FIRST_SESSION:
            raise problem_at(("date",), f"{self.date} is before {FIRST_SESSION}, the first day that calendars know")
        return self


class ClosureEntry(_Dated):
    """A day on which there was no session."""


class SessionEntry(_Dated):
    """A session that there was, or whose hours were others.

    Attributes:
        open: when it opens, in the exchange's zone; on the day before, where that is not before the close.
        close: when it closes, likewise; the usual times by default.
    """

    open: Clock = None
    close: Clock = None


class CalendarEntry(Section):
    """What the file says of one calendar.

    Attributes:
        closures: days without a session.
        sessions: sessions that the library does not know, or knows with other hours.
    """

    closures: tuple[ClosureEntry, ...] = ()
    sessions: tuple[SessionEntry, ...] = ()

    @model_validator(mode="after")
    def _says_one_thing_of_a_day(self) -> Self:
        seen: set[date] = set()
        for key, entries in (("closures", self.closures), ("sessions", self.sessions)):
            for index, entry in enumerate(entries):
                if entry.date in seen:
                    raise problem_at((key, index), f"{entry.date} is given twice")
                seen.add(entry.date)
        return self

    @property
    def changes(self) -> CalendarChanges:
        """The entries as calendars take them."""
        return CalendarChanges(
            frozenset(entry.date for entry in self.closures),
            tuple(DatedSession(entry.date, entry.open, entry.close) for entry in self.sessions),
        )


class Calendars(Root):
    """What ``calendars.yaml`` says.

    Attributes:
        calendars: the entries by calendar, as in ``exchange_calendars``.
    """

    calendars: dict[str, CalendarEntry] = Field(default_factory=dict)

    @property
    def changes(self) -> Mapping[str, CalendarChanges]:
        """The entries by calendar, for ``core.calendar_changes.use_changes``; without those that say nothing."""
        entries = ((name, entry.changes) for name, entry in self.calendars.items())
        return {name: changes for name, changes in entries if changes != CalendarChanges()}


def load_calendars(path: Path) -> Calendars:
    """Read ``calendars.yaml``; where there is none, no calendar has entries.

    Raises:
        ConfigurationError: with file, line, key, what was given and what is allowed, for each thing that is wrong.
    """
    return Document.read(path).validate(Calendars) if path.exists() else Calendars()


def check_changes(calendars: Calendars) -> None:
    """Raise ``ConfigurationError`` for a calendar that does not exist, or an entry that cannot be meant.

    Apart from ``load_calendars`` because it builds the calendars, which takes a second or two.
    """
    known = calendar_names() if calendars.calendars else ()
    for name, entry in calendars.calendars.items():
        if name not in known:
            text = f"{name!r} is not a calendar; allowed: {list_choices(known, name)}"
            raise calendars.error(("calendars", name), text)
        sessions = frozenset(get_original(name).sessions.astype("datetime64[D]").tolist())
        for index, closure in enumerate(entry.closures):
            if closure.date not in sessions:
                text = f"{closure.date} is no session of {name} anyway; leave it out"
                raise calendars.error(("calendars", name, "closures", index), text)
        try:
            apply_changes(get_original(name), entry.changes)
        except UsageError as error:
            raise calendars.error(("calendars", name, "sessions"), str(error)) from None
