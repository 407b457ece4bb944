"""A time of an instrument at which there may be a bar: its session, its label, and the base bars of a derived bar.

Not here: whether there is a bar (``trace``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np

from chandlery.core.calendars import Calendar, get_calendar, microseconds
from chandlery.core.periods import period_end, period_of
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import DAY_US, instant, midnight
from chandlery.instruments.registry import Instrument


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bar is, if there is one.

    Attributes:
        instrument: which.
        timeframe: of the bar.
        ts: its start, UTC.
    """

    instrument: Instrument
    timeframe: Timeframe
    ts: datetime

    @property
    def text(self) -> str:
        """The start, as a person writes it."""
        is_date = not self.timeframe.is_intraday and self.ts == midnight(self.ts.date())
        return f"{self.ts:%Y-%m-%d}" if is_date else f"{self.ts.replace(tzinfo=None).isoformat()}Z"

    @property
    def calendar(self) -> Calendar:
        """The instrument's calendar."""
        return get_calendar(self.instrument.calendar)

    @property
    def session(self) -> date | None:
        """The date of the session that a bar of a minute or a day belongs to; None where none is open then."""
        if not self.timeframe.is_intraday:
            return self.ts.date()
        at, inside = self.calendar.session_of(np.array([microseconds(self.ts)]))
        return session_date(self.calendar, int(at[0])) if inside[0] else None

    @property
    def label(self) -> datetime:
        """The start of the bar that holds ``ts``, UTC."""
        if self.timeframe.is_intraday or self.timeframe.is_ingested:
            return self.ts - timedelta(microseconds=microseconds(self.ts) % self.timeframe.microseconds)
        start, end = self.base_span
        sessions = self.calendar.between(start, end)
        return midnight(session_date(self.calendar, sessions.start)) if sessions.stop > sessions.start else start

    @property
    def base_span(self) -> tuple[datetime, datetime]:
        """The range ``[start, end)``, UTC, of the base bars that a derived bar is made of.

        Of a day, they are the minutes of its session.
        """
        if self.timeframe is Timeframe.D1:
            at = self.calendar.between(self.ts, self.ts + timedelta(days=1)).start
            return instant(int(self.calendar.opens[at])), instant(int(self.calendar.closes[at]))
        if self.timeframe.is_intraday:
            return self.ts, self.ts + timedelta(microseconds=self.timeframe.microseconds)
        period = period_of(self.timeframe, np.array([self.ts.date()], "datetime64[D]"))
        first, after = (days.astype(object)[0] for days in (period, period_end(self.timeframe, period)))
        return midnight(first), midnight(after)


def is_trading(place: Place, moments: Sequence[datetime]) -> list[bool]:
    """Return whether each instant lies in the session of its time, and not in a break of it."""
    ts = np.array([microseconds(moment) for moment in moments], np.int64)
    session, _ = place.calendar.session_of(ts)
    return [bool(is_open) for is_open in place.calendar.is_open(ts, session)]


def session_date(calendar: Calendar, at: int) -> date:
    """Return the date of the session at position ``at`` of a calendar."""
    return instant(int(calendar.sessions[at]) * DAY_US).date()
