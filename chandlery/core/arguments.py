"""Checks of what a caller gives to the library: texts, lists of texts, flags and counts.

Each returns the value in the one form that the library works with, or raises a ``UsageError`` that names the parameter,
what was given and what is allowed. Not here: moments and ranges (``moments``).
"""

from __future__ import annotations

import operator
from collections.abc import Iterable

from chandlery.core.text import shorten
from chandlery.errors import UsageError


def check_text(value: object, *, name: str, example: str) -> str:
    """Return ``value``, which must be a text of one character or more that a database can store."""
    if not isinstance(value, str):
        raise UsageError(f"{name}={shorten(value)} is no text; write one like {example!r}")
    if not value:
        raise UsageError(f"{name}={shorten(value)} is empty; write one like {example!r}")
    if not value.isprintable():
        raise UsageError(f"{name}={shorten(value)} has characters that cannot be shown; write one like {example!r}")
    return str(value)


def check_texts(values: object, *, name: str, example: str, distinct: bool = False) -> list[str]:
    """Return the texts of ``values``, in their order, all ``distinct`` or not.

    They may come from anything that yields texts, even if only once.
    """
    if isinstance(values, str | bytes):
        raise UsageError(f"{name}={shorten(values)} is a single text; write [{shorten(values)}]")
    try:
        given = list(values)  # type: ignore[call-overload]  # which raises where it cannot be done
    except TypeError:
        raise UsageError(f"{name}={shorten(values)} is no list of texts; write one like [{example!r}]") from None
    texts = [check_text(value, name=f"{name}[{place}]", example=example) for place, value in enumerate(given)]
    again = [text for place, text in enumerate(texts) if text in texts[:place]] if distinct else []
    if again:
        raise UsageError(f"{name}={shorten(texts)} has {again[0]!r} twice; name each once")
    return texts


def check_choice(value: object, allowed: Iterable[str], *, name: str) -> str:
    """Return ``value``, which must be one of the texts of ``allowed``."""
    names = tuple(allowed)
    if not isinstance(value, str) or value not in names:
        raise UsageError(f"{name}={shorten(value)} is not known; allowed: {' '.join(names)}")
    return str(value)


def check_flag(value: object, *, name: str) -> bool:
    """Return ``value``, which must be true or false, also as numpy has them."""
    if isinstance(value, bool) or type(value).__name__ in {"bool", "bool_"}:
        return bool(value)
    raise UsageError(f"{name}={shorten(value)} is not allowed; give True or False")


def check_count(value: object, *, name: str, most: int) -> int | None:
    """Return ``value``, a whole number, 1 or more, and no larger than ``most``; or None for no limit."""
    if value is None:
        return None
    try:
        count = 0 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]  # which raises for others
    except TypeError:
        count = 0
    if count < 1:
        raise UsageError(f"{name}={shorten(value)} is not allowed; give a whole number, 1 or more, or None for all")
    return min(count, most)
