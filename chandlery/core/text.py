"""Text for people. Not here: texts themselves."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return ``text`` with an escape sequence in the place of each control character, which a terminal would obey."""
    return "".join(letter if letter.isprintable() or letter == "\n" else repr(letter)[1:-1] for letter in text)
