"""Whether bars are as far apart as their timeframe says. Not here: gaps between bars (``coverage``)."""

from __future__ import annotations

import numpy as np

from chandlery.core.calendars import Int64s
from chandlery.core.timeframe import Timeframe
from chandlery.providers.files.unreadable import UnreadableError

_MINUTE = 60_000_000
_WIDER = (
    (86_400, "1d"),
    (14_400, "4h"),
    (7_200, "2h"),
    (3_600, "1h"),
    (1_800, "30m"),
    (900, "15m"),
    (600, "10m"),
    (300, "5m"),
)
_ENOUGH = 20
_LOOKED_AT = 5_000
_DAY = 86_400_000_000


def check_width(stamps: Int64s, timeframe: Timeframe) -> None:
    """Raise for bars that are plainly of another width, as far as so few tell.

    Args:
        stamps: starts of the bars, µs since the epoch, in ascending order.
        timeframe: that they should have.

    Raises:
        UnreadableError: they are of another; names it and what to do.
    """
    first = stamps[:_LOOKED_AT]
    different = first[np.flatnonzero(np.diff(first, prepend=first[:1] - 1))]
    if len(different) < _ENOUGH:
        return
    if not timeframe.is_intraday:
        _check_days(different)
        return
    if np.median(np.diff(different)) < _MINUTE:
        raise UnreadableError(
            "its bars or trades are less than a minute apart; make minutes of them first: 1m and 1d are ingested"
        )
    # The start of a session shifts all of them, by the same minutes.
    minutes = (different - different[0]) // _MINUTE
    wider = next((name for seconds, name in _WIDER if not (minutes % (seconds // 60)).any()), None)
    if wider == "1d":
        raise UnreadableError(
            "its bars are a day apart; bars of days are read from a folder bars_1d, with --timeframe 1d"
        )
    if wider is not None:
        raise UnreadableError(
            f"its bars are {wider} apart; only 1m and 1d are ingested, and what lies between is made of the minutes:"
            " get the 1m file of the same vendor, or its 1d file for a folder bars_1d"
        )


def _check_days(days: Int64s) -> None:
    apart = np.diff(days) // _DAY
    weeks, months = np.mean(apart == 7), np.mean((apart >= 28) & (apart <= 31))
    if max(weeks, months) > 0.9:
        name = "a week" if weeks > months else "a month"
        raise UnreadableError(
            f"its bars are {name} apart; only 1m and 1d are ingested, and weeks and months are made of the days:"
            " get the file of days"
        )
