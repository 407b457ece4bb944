"""Days and windows: midnight, the length of a day, and the months and years in which bars are kept.

A window is a month of minutes or a year of days of one instrument. Not here: what was stored of a window
(``bars.window_states``).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Protocol

import numpy as np
import numpy.typing as npt

from chandlery.core.timeframe import Timeframe

#: Microseconds of a day.
DAY_US = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: A range around every bar there is, UTC.
EVER = (datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))


class InstrumentWindow(Protocol):
    """Anything that stands for one window of one instrument, such as its state or its key."""

    @property
    def instrument_id(self) -> int:
        """Whose bars."""
        ...

    @property
    def start(self) -> date:
        """First day of the window."""
        ...


def window_starts(timeframe: Timeframe, ts: npt.NDArray[np.datetime64]) -> npt.NDArray[np.datetime64]:
    """Return the first day of the window of each moment, ``datetime64[D]``."""
    return ts.astype("datetime64[M]" if timeframe.window_kind == "month" else "datetime64[Y]").astype("datetime64[D]")


def window_end(timeframe: Timeframe, start: date) -> datetime:
    """Return the first instant after the window that starts on ``start``, UTC."""
    return timeframe.window_of(start).end


def instant(micros: int) -> datetime:
    """Return the instant so many microseconds after 1970-01-01, UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def midnight(day: date) -> datetime:
    """Return 00:00 UTC of ``day``."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
