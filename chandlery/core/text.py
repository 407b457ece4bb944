"""Text for people. Not here: texts themselves."""

from __future__ import annotations

#: So many characters of a value say which one it is.
_LONGEST_VALUE = 80


def printable(text: str) -> str:
    """Return ``text`` with an escape sequence in the place of each control character, which a terminal would obey."""
    return "".join(letter if letter.isprintable() or letter == "\n" else repr(letter)[1:-1] for letter in text)


def shorten(value: object) -> str:
    """Return ``value`` as Python writes it, on one line of at most 80 characters, to name it in an error."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."
