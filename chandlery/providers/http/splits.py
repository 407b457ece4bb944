"""Splits that a vendor adjusted its prices for: by how much, and whether it really did.

Dates are 00:00 UTC of a session's date, in µs since the epoch. Not here: where a vendor reports its splits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from chandlery.core.calendars import Int64s

Floats: TypeAlias = npt.NDArray[np.float64]

#: A smaller ratio, or one above its inverse, cannot be distinguished from a day's ordinary move.
_VISIBLE_RATIO = 1.5
#: How many sessions on either side of a split are checked.
_NEAR = 10
#: A step is about the ratio where it is within this share of it, on the scale of logarithms.
_ABOUT = 0.25
#: Minutes may lie outside of their day's range by this factor.
_OUTSIDE = 1.2


@dataclass(frozen=True, slots=True)
class Split:
    """``ratio`` new shares for an old one, from ``date`` on."""

    date: int
    ratio: float

    def __post_init__(self) -> None:
        if not 0 < self.ratio < math.inf:
            raise ValueError(f"a split of {self.ratio:g} for 1 on {_format_date(self.date)}")

    def __str__(self) -> str:
        return f"split of {self.ratio:g} for 1 on {_format_date(self.date)}"

    @property
    def visible(self) -> bool:
        """Whether prices that were not adjusted for it stand out."""
        return abs(math.log(self.ratio)) >= math.log(_VISIBLE_RATIO)


def split_factors(dates: Int64s, splits: Sequence[Split]) -> Floats:
    """Return by how much prices of ``dates`` were divided, and volumes multiplied, in adjusting for all ``splits``."""
    factors = np.ones(len(dates))
    for split in splits:
        factors[dates < split.date] *= split.ratio
    return factors


def check_days(dates: Int64s, values: Mapping[str, Floats], splits: Sequence[Split]) -> None:
    """Raise ``ValueError`` where prices step by about a split's ratio overnight, close to it.

    Adjusted prices do not: then only some were adjusted, or some twice.

    Args:
        dates: of bars of a day, ascending.
        values: ``open`` and ``close`` as served.
        splits: that they are said to be adjusted for.
    """
    for split in splits:
        if not split.visible:
            continue
        size = abs(math.log(split.ratio))
        place = int(np.searchsorted(dates, split.date))
        near = slice(max(place - _NEAR, 0), place + _NEAR)
        with np.errstate(divide="ignore", invalid="ignore"):
            steps = np.abs(np.log(values["open"][near][1:] / values["close"][near][:-1]))
        jumps = np.flatnonzero(np.abs(steps - size) < _ABOUT * size)
        if len(jumps):
            step, on = math.exp(steps[jumps[0]]), _format_date(dates[near][jumps[0] + 1])
            raise ValueError(f"not all prices are adjusted for the {split}: they step {step:.3g}-fold on {on}")


def check_minutes(
    dates: Int64s, closes: Floats, days: Int64s, values: Mapping[str, Floats], splits: Sequence[Split]
) -> None:
    """Raise ``ValueError`` where minutes before a split are not on the scale of their day.

    Args:
        dates: of the minutes.
        closes: of the minutes, as served.
        days: dates of bars of a day.
        values: ``high`` and ``low`` of those, as served.
        splits: that both are said to be adjusted for.
    """
    for split in splits:
        for date in np.unique(dates[dates < split.date]) if split.visible else ():
            middle = np.nanmedian(closes[dates == date])
            low, high = values["low"][days == date], values["high"][days == date]
            if (middle < low / _OUTSIDE).any() or (middle > high * _OUTSIDE).any():
                raise ValueError(
                    f"minutes of {_format_date(date)}, before the {split}, are not on the scale of the day"
                )


def _format_date(date: int) -> str:
    return f"{datetime.fromtimestamp(int(date) // 1_000_000, UTC):%Y-%m-%d}"
