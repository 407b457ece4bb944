"""What stands above the rows of a text file: one line of names, several, or none.

Not here: what names mean (``columns``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chandlery.core.schema import PRICES
from chandlery.core.text import counted
from chandlery.providers.files import wide
from chandlery.providers.files.columns import DROPPED, plain
from chandlery.providers.files.dialect import TextFile
from chandlery.providers.files.layout import Layout
from chandlery.providers.files.presets import suggest_headerless
from chandlery.providers.files.unreadable import UnreadableError


@dataclass(frozen=True, slots=True)
class Header:
    """The names of a file's columns.

    Attributes:
        names: by position; ``DROPPED`` for those that are to be dropped.
        panel: which columns belong to which symbol, where the names say so.
        said: meanings by name, where a person gave them by position or the names share a text.
        symbol: that of the bars, where the names of the columns say it of one alone; else empty.
        side: which of several prices they are, such as ``bid``, where the names say so; else empty.
        lacking: names of columns that a symbol lacks which has some of them.
    """

    names: Sequence[str]
    panel: wide.Panel | None
    said: Mapping[str, str]
    symbol: str = ""
    side: str = ""
    lacking: Sequence[str] = ()

    @property
    def symbols(self) -> list[str]:
        """The symbols that the names of the columns say, sorted; none where they do not."""
        return self.panel.symbols if self.panel else [self.symbol] if self.symbol else []


def read_header(text: TextFile, layout: Layout) -> Header:
    """Return the names of a text file's columns.

    Raises:
        UnreadableError: there is no header line and nobody said what the columns are, or said it of another number.
    """
    if not text.headers and not text.sample:
        raise UnreadableError("this is no table of bars: no line is divided into cells by a comma, semicolon, tab or |")
    given = layout.columns if isinstance(layout.columns, tuple) and layout.columns else ()
    if not given and not text.headers and layout.headerless:
        return _given(_fitting(layout.headerless, text), text)
    if given:
        return _given(given, text)
    if not text.headers:
        shown = text.delimiter.join(text.first)
        raise UnreadableError(
            f"there is no header line, the first is {shown}; say what each column is with --columns"
            f" {_likely(text.first)} (ignore for one to drop){suggest_headerless(text.first)}",
            line=text.first_line,
        )
    labels = _labels(text)
    header = header_of(labels, layout)
    if header is not None:
        return header
    names = [label[-1] for label in labels]
    if _is_panel_of_values(names):
        raise UnreadableError(
            f"columns {', '.join(names[1:6])}: one value for each of several symbols makes no bars; a wide file has the"
            " open, high, low and close of each, as in AAPL_open, or under two header lines"
        )
    return Header(names, None, {})


def header_of(labels: Sequence[Sequence[str]], layout: Layout) -> Header | None:
    """Return what the labels of columns say of symbols, units and sides; None where they say nothing of them."""
    found = None if _says_prices(layout) else wide.split(labels)
    if found is None:
        return None
    if isinstance(found, wide.Panel):
        return Header(found.names, found, {}, side=found.side, lacking=found.lacking)
    return Header(found.names, None, found.said, found.symbol, found.side, found.lacking)


def _says_prices(layout: Layout) -> bool:
    """Whether a person said by name which columns the prices are, so that the names say nothing of symbols."""
    return isinstance(layout.columns, dict) and set(PRICES) <= set(layout.columns.values())


def _fitting(usual: Sequence[str], text: TextFile) -> Sequence[str]:
    """Return a layout's columns as far as there are cells; with the time of day in a column of its own, if it is."""
    if len(text.first) > 1 and usual[0] == "time" and re.fullmatch(r"\d{1,2}:\d\d(:\d\d)?", text.first[1].strip()):
        usual = ["date", *usual]
    return usual[: max(5, text.width)]


def _given(given: Sequence[str], text: TextFile) -> Header:
    width = text.width or (len(text.headers[-1]) if text.headers else len(given))
    if len(given) == width - 1 and all(len(row) < width or not row[-1].strip() for row in text.sample):
        given = [*given, "ignore"]  # a comma at the end of each row
    if len(given) != width:
        raise UnreadableError(
            f"{counted(width, 'cell')} in a row, but --columns names {len(given)}: {','.join(given)}",
            line=text.first_line,
        )
    names = [DROPPED if name == "ignore" else name for name in given]
    said = {name: name for name in given if name in {"date", "time"}} if {"date", "time"} <= set(given) else {}
    return Header(names, None, said)


def _labels(text: TextFile) -> list[Sequence[str]]:
    """Return what stands above each column: one name, or several from top to bottom."""
    rows = [[cell.strip() for cell in row] for row in text.headers]
    if len(rows) > 1 and wide.is_stacked(rows):
        width = max(text.width, *map(len, rows))
        return [tuple(row[place] if place < len(row) else "" for row in rows) for place in range(width)]
    names = list(rows[-1])
    width = text.width or len(names)
    while len(names) > width and not names[-1]:
        names.pop()
    if len(names) == width - 1:
        # A comma too many at the end of rows, or no name for the first column, as R writes it.
        blank_end = all(len(row) < width or not row[-1].strip() for row in text.sample)
        names = [*names, DROPPED] if blank_end else ["", *names]
    empty = {place for place in range(width) if text.sample and not any(_cell(row, place) for row in text.sample)}
    return [[DROPPED if not name and place in empty else name] for place, name in enumerate(names)]


def _cell(row: Sequence[str], place: int) -> str:
    return row[place].strip() if place < len(row) else ""


def _likely(cells: Sequence[str]) -> str:
    """Return a usual order of columns, as many as there are cells, to show how ``--columns`` is written."""
    usual = ["time", "open", "high", "low", "close", "volume"]
    if len(cells) > 1 and ":" in cells[1]:
        usual.insert(0, "date")
    return ",".join([*usual, *["ignore"] * (len(cells) - len(usual))][: max(5, len(cells))])


def _is_panel_of_values(names: Sequence[str]) -> bool:
    """Whether columns look like one value for each of several symbols."""
    known = {"open", "high", "low", "close", "volume", "o", "h", "l", "c", "v", "price", "last"}
    others = [name for name in names[1:] if name]
    return (
        len(others) >= 2
        and all(name.isascii() and name == name.upper() and len(name) <= 12 for name in others)
        and not known & {plain(name) for name in names}
    )
