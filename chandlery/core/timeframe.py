"""Timeframes: how wide a bar is, how it is labelled, and which window (partition) it falls into.

Not here: which minutes a market is open (``calendars``) and how bars are combined (``rollup``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, date, datetime
from enum import StrEnum
from typing import Literal, TypeAlias

from chandlery.core.spellings import read_width, write_width
from chandlery.core.text import shorten
from chandlery.errors import UsageError

WindowKind: TypeAlias = Literal["month", "year"]

_MINUTES = {"1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "4h": 240}


@dataclass(frozen=True, slots=True)
class Window:
    """A partition's span of time.

    Attributes:
        key: ``"2024-01"`` for a month, ``"2024"`` for a year.
        start: first instant, UTC, inclusive.
        end: first instant after it, UTC, exclusive.
    """

    key: str
    start: datetime
    end: datetime


class Timeframe(StrEnum):
    """The width of a bar.

    Intraday bars start on the UTC grid; wider ones are labelled by their first session's date, at 00:00 UTC.
    """

    M1 = "1m"
    M5 = "5m"
    M15 = "15m"
    M30 = "30m"
    H1 = "1h"
    H4 = "4h"
    D1 = "1d"
    W1 = "1w"
    MO1 = "1mo"

    @classmethod
    def parse(cls, text: str) -> Timeframe:
        """Return the timeframe that ``text`` names, in any spelling; ``UsageError`` names those there are."""
        allowed = " ".join(cls)
        name = write_width(*read_width(text, name="timeframe", allowed=allowed))
        if name not in tuple(cls):
            raise UsageError(f"timeframe={shorten(text)} is not stored; allowed: {allowed}")
        return cls(name)

    @property
    def is_intraday(self) -> bool:
        """Whether a bar is shorter than a day."""
        return self.value in _MINUTES

    @property
    def is_ingested(self) -> bool:
        """Whether bars of this width come from providers; the others are derived."""
        return self in INGESTED

    @property
    def base(self) -> Timeframe:
        """The ingested timeframe that this one is computed from (itself, where it is ingested)."""
        return Timeframe.M1 if self.is_intraday else Timeframe.D1

    @property
    def microseconds(self) -> int:
        """Width of the UTC grid on which bars start: the bar's own width intraday, one day otherwise."""
        return _MINUTES.get(self.value, 1440) * 60_000_000

    @property
    def rank(self) -> int:
        """Position from the narrowest (0) to the widest."""
        return list(Timeframe).index(self)

    @property
    def window_kind(self) -> WindowKind:
        """The span of one partition: a month for intraday bars, a year for the rest."""
        return "month" if self.is_intraday else "year"

    @property
    def table(self) -> str:
        """Name of the table in schema ``market`` that holds these bars."""
        return f"bars_{self.value}"

    def window_of(self, moment: datetime | date) -> Window:
        """Return the window that holds ``moment`` (a bare date means midnight UTC)."""
        if self.window_kind == "year":
            return _window(f"{moment.year:04d}", moment.year, 1, 12)
        return _window(f"{moment.year:04d}-{moment.month:02d}", moment.year, moment.month, 1)

    def window(self, key: str) -> Window:
        """Return the window called ``key`` (``2024-01`` or ``2024``); raise ``UsageError`` for anything else."""
        form, shape = ("%Y-%m", "YYYY-MM") if self.window_kind == "month" else ("%Y", "YYYY")
        try:
            return self.window_of(datetime.strptime(key, form).replace(tzinfo=UTC))
        except ValueError:
            raise UsageError(f"window {key!r} of {self.value} is not of the form {shape}") from None

    def windows(self, start: datetime, end: datetime) -> Iterator[Window]:
        """Yield, oldest first, every window that touches ``[start, end)`` in UTC."""
        moment = start
        while moment < end:
            window = self.window_of(moment)
            yield window
            moment = window.end


INGESTED = (Timeframe.M1, Timeframe.D1)


def derived_from(base: Timeframe) -> tuple[Timeframe, ...]:
    """Return the timeframes computed from ``base``, narrowest first."""
    return tuple(tf for tf in Timeframe if tf.base is base and tf is not base)


def rolled_up_from(base: Timeframe) -> tuple[Timeframe, ...]:
    """Return the timeframes that rolling ``base`` up fills, narrowest first.

    They are those derived from it, and of minutes the days as well, which are filled where no provider gives them.
    """
    return (*derived_from(base), Timeframe.D1) if base is Timeframe.M1 else derived_from(base)


def _window(key: str, year: int, month: int, months: int) -> Window:
    start = datetime(year, month, 1, tzinfo=UTC)
    after = month - 1 + months
    if year + after // 12 > MAXYEAR:
        return Window(key, start, datetime.max.replace(tzinfo=UTC))
    return Window(key, start, datetime(year + after // 12, after % 12 + 1, 1, tzinfo=UTC))
