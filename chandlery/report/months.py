"""A map of coverage, symbol by month, as the boxes and texts of a drawing. Not here: its SVG (``templates``).

Pictures for run records are drawn elsewhere (``pictures.heatmap``); this one belongs to a page and follows its colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

_MARGIN, _WIDTH, _ROW = 90, 1000, 24
_MOST_LABELS = 14
#: With fewer months than this, single months are labelled; with more, years.
_YEARS_FROM = 36


@dataclass(frozen=True, slots=True)
class Cell:
    """One month of one symbol: a box.

    Attributes:
        x: its left edge, in units of the drawing; the others likewise.
        y: its upper edge.
        width: from left to right.
        height: from top to bottom.
        shade: 0 for no session present, 1 for some, 2 for nine in ten, 3 for all of them.
        title: symbol, month and share, for a person who points at it.
    """

    x: float
    y: int
    width: float
    height: int
    shade: int
    title: str


@dataclass(frozen=True, slots=True)
class MonthMap:
    """A drawing of coverage by month.

    Attributes:
        width: of the drawing.
        height: of the drawing.
        symbols: each symbol and the y of its text, from top to bottom.
        cells: a box for each month of each symbol.
        months: the texts below, and the x of each.
    """

    width: int
    height: int
    symbols: list[tuple[str, int]]
    cells: list[Cell]
    months: list[tuple[str, float]]


def map_months(table: pa.Table) -> MonthMap:
    """Return the drawing of a table of coverage.

    Args:
        table: columns ``symbol``, ``month`` (a date) and ``share`` (of expected sessions present, 0 to 1); at least one
            row.
    """
    months = table["month"].to_numpy().astype("datetime64[M]")
    first = months.min()
    count = int((months.max() - first).astype(int)) + 1
    symbols = list(dict.fromkeys(table["symbol"].to_pylist()))
    step = min(60.0, (_WIDTH - _MARGIN) / count)
    cells = [
        Cell(
            x=_MARGIN + step * int((month - first).astype(int)),
            y=_ROW * symbols.index(symbol),
            width=max(step - 0.8, 0.8),
            height=_ROW - 4,
            shade=3 if share == 1 else 2 if share >= 0.9 else 1 if share > 0 else 0,
            title=f"{symbol} {month}: {share:.0%}",
        )
        for symbol, month, share in zip(table["symbol"].to_pylist(), months, table["share"].to_pylist(), strict=True)
    ]
    names = [str(first + place) for place in range(count)]
    return MonthMap(
        width=_WIDTH,
        height=_ROW * len(symbols) + 24,
        symbols=[(symbol, _ROW * place + 16) for place, symbol in enumerate(symbols)],
        cells=cells,
        months=_labels(names, step),
    )


def _labels(months: list[str], step: float) -> list[tuple[str, float]]:
    """Return at most about fourteen labels, evenly spaced: months, or years where there are many months."""
    places = range(len(months))
    if len(months) >= _YEARS_FROM:
        places = [place for place in places if months[place].endswith("-01")]  # type: ignore[assignment]
    every = max(1, -(-len(places) // _MOST_LABELS))
    length = 4 if len(months) >= _YEARS_FROM else 7
    labels = [(months[place][:length], _MARGIN + step * place) for place in places[::every]]
    return [(text, x) for text, x in labels if x < _WIDTH - 30]  # a later one would be cut off
