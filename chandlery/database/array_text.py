"""A few values as PostgreSQL's array, written as text. Not here: columns of them (``arrays``)."""

from __future__ import annotations

from collections.abc import Iterable


def array_text(values: Iterable[object]) -> str:
    """Return an array as text: of a few values, the driver takes many times as long for a list.

    Args:
        values: numbers, None, or texts, in double quotes where they hold commas, braces or blanks; none may hold a
            backslash, or a double quote within.
    """
    return "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"
