"""How people write the width of a bar: ``1h`` is also ``60m``, ``1H``, ``60min``, ``1hour`` and ``hourly``.

Not here: what a width is (``timeframe``, ``widths``).
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from chandlery.core.text import shorten
from chandlery.errors import UsageError

Unit: TypeAlias = Literal["m", "d", "w", "mo"]

#: How many of a unit, and which, each spelling of it is. Capitals do not matter, but for ``M`` alone.
_SPELLINGS: dict[str, tuple[int, Unit]] = {
    **dict.fromkeys(("m", "t", "min", "mins", "minute", "minutes"), (1, "m")),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours", "hourly"), (60, "m")),
    **dict.fromkeys(("d", "day", "days", "daily"), (1, "d")),
    **dict.fromkeys(("w", "wk", "wks", "week", "weeks", "weekly"), (1, "w")),
    **dict.fromkeys(("mo", "mon", "mth", "month", "months", "monthly"), (1, "mo")),
    **dict.fromkeys(("q", "qtr", "quarter", "quarters", "quarterly"), (3, "mo")),
    **dict.fromkeys(("y", "yr", "yrs", "year", "years", "yearly", "annual", "annually"), (12, "mo")),
}
_SHAPE = re.compile(r"([0-9]{0,4}) ?([A-Za-z]+)")
#: The widest bar of each unit: a day of minutes, and ten years.
_MOST: dict[Unit, int] = {"m": 1440, "d": 3660, "w": 520, "mo": 120}


def read_width(text: object, *, name: str, allowed: str) -> tuple[int, Unit]:
    """Return how many of a unit, and which, ``text`` names, in any spelling.

    Args:
        text: a number, or none for 1, and a unit.
        name: the parameter's name, for the error.
        allowed: what to write instead, for the error.

    Raises:
        UsageError: it is no width, may be two, or is one of which no bars can be made.
    """
    shape = _SHAPE.fullmatch(text) if isinstance(text, str) else None
    number, unit = shape.groups() if shape else ("", "")
    if unit == "M":
        said = number or 1
        raise UsageError(f"{name}={shorten(text)} may mean minutes or months; write {said}m or {said}mo")
    if unit.lower() in {"s", "sec", "secs", "second", "seconds"}:
        raise UsageError(f"{name}={shorten(text)} is narrower than 1m, the narrowest; allowed: {allowed}")
    if unit.lower() not in _SPELLINGS:
        raise UsageError(f"{name}={shorten(text)} is not known; allowed: {allowed}")
    size, kind = _SPELLINGS[unit.lower()]
    count = size * int(number or 1)
    if not 1 <= count <= _MOST[kind]:
        raise UsageError(
            f"{name}={shorten(text)} is not allowed; give 1m to 24h of minutes and hours, 1d to 10y of days and wider"
        )
    return count, kind


def write_width(count: int, unit: Unit) -> str:
    """Return the one way in which a width is written here: ``90m 2h 3d 2w 1mo 1q 1y``."""
    for of, size, name in (("m", 60, "h"), ("mo", 12, "y"), ("mo", 3, "q")):
        if unit == of and count % size == 0:
            return f"{count // size}{name}"
    return f"{count}{unit}"
