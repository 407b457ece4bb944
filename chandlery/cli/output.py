"""Prints what the commands say: lines, tables, numbers. Not here: the texts, and rows in files (``rows``)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import IO, Any, cast

from rich.console import Console

from chandlery.cli.grid import Grid
from chandlery.core.text import printable, write_number
from chandlery.redaction.text import hide

#: The width of what is no terminal.
UNBOUNDED = 10_000
_NONE = "\N{EN DASH}"
#: What stands for a sign of ours where a terminal cannot show it.
_PLAIN_SIGNS = str.maketrans({_NONE: "-", "\N{HORIZONTAL ELLIPSIS}": "...", "\N{BOX DRAWINGS LIGHT HORIZONTAL}": "-"})


def out() -> Console:
    """Return the console for results. Where it is no terminal, lines are as long as they need to be."""
    return _console(sys.stdout)


def err() -> Console:
    """Return the console for everything else."""
    return _console(sys.stderr)


def say(text: str = "") -> None:
    """Print a line of a result to standard output, exactly as it is, but for what a terminal would obey."""
    out().print(printable(text), markup=False, highlight=False, soft_wrap=True)


def note(text: str) -> None:
    """Print a line that is not part of the result to standard error."""
    err().print(printable(text), markup=False, highlight=False, soft_wrap=True, style="dim")


def say_error(text: str) -> None:
    """Print an error to standard error."""
    console = err()
    console.print("error: ", style="bold red", end="")
    console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


def table(
    *columns: str,
    left: Sequence[str] = (),
    folded: Sequence[str] = (),
    keys: Sequence[str] | None = None,
    title: str | None = None,
) -> Grid:
    """Return an empty table; see ``Grid``."""
    return Grid(columns, left=left, folded=folded, keys=keys, title=title)


def show_table(grid: Grid) -> None:
    """Print a table to standard output; say which of its columns do not fit on the terminal."""
    omitted = grid.print(out())
    if omitted:
        note(f"Too narrow for {', '.join(omitted)}: widen the terminal, or see all with --json.")


def say_json(value: object) -> None:
    """Print a result for programs: times as ISO 8601 in UTC, dates and paths as text."""
    import json  # noqa: PLC0415 - only where it is used

    say(json.dumps(value, indent=2, default=_as_text))


def _as_text(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)


def number(value: float | None) -> str:
    """Return a number as ``write_number`` does; a dash for none."""
    return _NONE if value is None else write_number(value)


def moment(value: datetime | None, *, day: bool = False) -> str:
    """Return a time in UTC: ``2024-01-31`` for a ``day``, otherwise ``2024-01-31 14:30Z``; a dash for none."""
    if value is None:
        return _NONE
    if day:
        return f"{value:%Y-%m-%d}"
    return f"{value:%Y-%m-%d %H:%M}" + (f":{value:%S}Z" if value.second else "Z")


def size(number_of_bytes: int) -> str:
    """Return a size for people, in powers of 1024."""
    value, units = float(number_of_bytes), ["B", "KB", "MB", "GB", "TB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:,.0f} {units[0]}" if value >= 10 or units[0] == "B" else f"{value:,.1f} {units[0]}"


def _console(stream: IO[str]) -> Console:
    console = Console(file=stream)
    width = None if console.is_terminal else UNBOUNDED
    return Console(file=cast("IO[str]", _WithoutSecrets(stream)), width=width)


def _is_plain_locale() -> bool:
    """Return whether a person set the locale C, which knows ASCII alone; Python writes UTF-8 even there."""
    return (os.environ.get("LC_ALL") or os.environ.get("LANG")) in {"C", "POSIX"}


class _WithoutSecrets:
    """A stream on which secrets are stars, and signs that it cannot write are written otherwise."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._plain = _is_plain_locale()

    def write(self, text: str) -> int:
        """Write ``text`` as it may be shown, and can be."""
        text = hide(text)
        if self._plain:
            text = text.translate(_PLAIN_SIGNS)
        try:
            text.encode(self._encoding)
        except UnicodeEncodeError:
            plain = text.translate(_PLAIN_SIGNS)
            text = plain.encode(self._encoding, "backslashreplace").decode(self._encoding)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - of whatever the stream has
        return getattr(self._stream, name)


def columns_of(lines: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield ``name  value`` lines with the values below each other."""
    pairs = list(lines)
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        yield f"{name:<{width}}  {value}"
