"""Text for people. Not here: texts themselves."""

from __future__ import annotations

import math
from decimal import Decimal

#: So many characters of a value say which one it is.
_LONGEST_VALUE = 80
#: Numbers from here on are written with an exponent: as digits, they would fill a line.
_SMALLEST, _LARGEST = 1e-15, 1e21


def printable(text: str) -> str:
    """Return ``text`` with an escape sequence in the place of each control character, which a terminal would obey."""
    return "".join(letter if letter.isprintable() or letter == "\n" else repr(letter)[1:-1] for letter in text)


def shorten(value: object) -> str:
    """Return ``value`` as Python writes it, on one line of at most 80 characters, to name it in an error."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def plural(count: float, one: str, several: str = "") -> str:
    """Return the word for so many: ``one`` or ``several``, which is ``one`` with an s unless given."""
    return one if count == 1 else several or f"{one}s"


def counted(count: int, one: str, several: str = "") -> str:
    """Return a count with what it counts: ``1 row``, ``2,000 rows``; see ``plural``."""
    return f"{count:,} {plural(count, one, several)}"


def write_number(value: float) -> str:
    """Return a number with thousands separated and every digit that means something.

    A fraction has as many digits as it takes to read the same double back, and none more.
    """
    if not isinstance(value, float):
        return f"{value:,}"
    if not math.isfinite(value) or not (value == 0 or _SMALLEST <= abs(value) < _LARGEST):
        return repr(value)
    text = f"{Decimal(repr(value)):,f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text if text != "-0" else "0"
