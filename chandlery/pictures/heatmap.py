"""A heat map, as PNG: a row for each name, a column for each day, a colour for each category.

Not here: what the categories are (``coverage.state_grid`` makes the matrix of the states of sessions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from chandlery.pictures.canvas import FAINT, FONT, INK, PAPER, RULE, new_figure, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Codes: TypeAlias = npt.NDArray[np.int8]
Times: TypeAlias = npt.NDArray[np.datetime64]

#: For at most so many rows: the height of each, px, and the size of its label, points.
_ROW_SIZES = ((40, 20, 8.0), (120, 14, 7.5), (10**9, 9, 5.5))
#: From so many rows on, columns are labelled above as well; from such a height on, px, lines separate the rows.
_LABELLED_TWICE, _SEPARATED = 40, 14
#: Of a column, px: how wide it may grow, and from which width on breaks are shown.
_WIDEST, _BREAKS_SHOW = 28, 4
_UNITS = {"M": "month", "Y": "year"}


@dataclass(frozen=True, slots=True)
class Category:
    """What a cell can be.

    Attributes:
        name: its name in the legend.
        color: its colour, ``#rrggbb``.
        severity: a column that combines several days shows the category of the highest severity; no two are equal.
        is_break: whether nothing was to happen on such a day. Where days are too narrow to show breaks, each looks like
            the day before it.
    """

    name: str
    color: str
    severity: int
    is_break: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """What a heat map shows.

    Attributes:
        rows: the name of each row.
        first_day: the first column.
        codes: of shape (rows, days): the place of each cell's category in ``categories``; -1 where nothing is known.
        categories: those there may be, in the order of the legend.
    """

    rows: Sequence[str]
    first_day: date
    codes: Codes
    categories: Sequence[Category]


def heatmap_png(matrix: Matrix, *, title: str, width_px: int = 1000) -> bytes:
    """Return a heat map: a row for each name; a column for each day, or for each month where there are many days.

    A month shows its worst day, so that none disappears. The legend holds the categories that occur.

    Args:
        matrix: what to draw; one row at least.
        title: above the map.
        width_px: of the picture; its height follows from the number of rows.
    """
    rows = len(matrix.rows)
    row_px, size = next((row, size) for most, row, size in _ROW_SIZES if rows <= most)
    margin = 24 + size * 0.85 * max(map(len, matrix.rows))
    cells, starts, unit = _columns(matrix, int(width_px - margin - 12))
    drawn = min(width_px - margin - 12, _WIDEST * cells.shape[1])
    shown = [category for code, category in enumerate(matrix.categories) if (cells == code).any()]
    lines = _legend_lines(shown, width_px)
    top, bottom = 42 + 18 * len(lines) + (14 if rows > _LABELLED_TWICE else 0), 26
    height_px = top + row_px * rows + bottom
    figure = new_figure(width_px, height_px)
    axes = figure.add_axes((margin / width_px, bottom / height_px, drawn / width_px, row_px * rows / height_px))
    axes.imshow(_palette(matrix.categories)[cells], aspect="auto", interpolation="nearest")
    axes.set_yticks(range(rows), matrix.rows)
    if row_px >= _SEPARATED:
        axes.hlines(np.arange(rows - 1) + 0.5, -0.5, cells.shape[1] - 0.5, color=PAPER, linewidth=2)
    _style(axes)
    axes.grid(visible=False)
    axes.tick_params(axis="y", labelsize=size, labelcolor=INK)
    axes.tick_params(axis="x", labeltop=rows > _LABELLED_TWICE)
    _label_columns(axes, starts, unit, drawn)
    figure.text(12 / width_px, 1 - 20 / height_px, title, color=INK, size=9, weight="bold")
    per = "a column is a day" if unit == "D" else f"a column is a {_UNITS[unit]}, in its worst state"
    figure.text(1 - 12 / width_px, 1 - 20 / height_px, per, color=FAINT, size=FONT, ha="right")
    _draw_legend(figure, lines, width_px, height_px)
    return to_png(figure)


def _palette(categories: Sequence[Category]) -> npt.NDArray[np.uint8]:
    """Return the colour of each code; the last is that of -1."""
    colors = [*(category.color for category in categories), PAPER]
    return np.array([[int(color[at : at + 2], 16) for at in (1, 3, 5)] for color in colors], np.uint8)


def _columns(matrix: Matrix, width_px: int) -> tuple[Codes, Times, str]:
    """Return codes of at most ``width_px`` columns, the first day of each, and what each is: ``D``, ``M`` or ``Y``."""
    codes = matrix.codes
    days = np.datetime64(matrix.first_day, "D") + np.arange(codes.shape[1])
    if codes.shape[1] <= width_px:
        has_room = width_px >= _BREAKS_SHOW * codes.shape[1]
        return (codes if has_room else _hide_breaks(matrix)), days, "D"
    for unit in ("M", "Y"):
        starts = np.flatnonzero(
            np.r_[True, days[1:].astype(f"datetime64[{unit}]") != days[:-1].astype(f"datetime64[{unit}]")]
        )
        if len(starts) <= width_px:
            break
    worst = _worst(matrix, starts)
    return worst, days[starts].astype(f"datetime64[{unit}]").astype("datetime64[D]"), unit


def _worst(matrix: Matrix, starts: npt.NDArray[np.intp]) -> Codes:
    """Return the code of the highest severity in each column, which begin at ``starts``; -1 is the lowest."""
    by_rank = [-1, *sorted(range(len(matrix.categories)), key=lambda code: matrix.categories[code].severity)]
    rank_of = np.argsort(by_rank).astype(np.int8)  # of the codes -1, 0, 1, ...
    ranks = np.maximum.reduceat(rank_of[matrix.codes + 1], starts, axis=1)
    return np.array(by_rank, np.int8)[ranks]


def _hide_breaks(matrix: Matrix) -> Codes:
    """Return the codes with breaks as the day before them."""
    breaks = [code for code, category in enumerate(matrix.categories) if category.is_break]
    place = np.where(np.isin(matrix.codes, breaks), 0, np.arange(matrix.codes.shape[1]))
    place = np.maximum.accumulate(place, axis=1)
    return np.take_along_axis(matrix.codes, place, axis=1)


def _label_columns(axes: Axes, starts: Times, unit: str, width_px: float) -> None:
    """Label at most as many columns as have room: years, months or days, whichever is the finest that fits."""
    room = max(1, int(width_px // 62))
    if unit == "D" and len(starts) <= room:
        places, length = np.arange(len(starts)), 10
    elif unit == "D" and len(np.unique(starts.astype("datetime64[M]"))) < 3:
        places, length = np.arange(0, len(starts), -(-len(starts) // room)), 10
    else:
        months = starts.astype("datetime64[M]")
        firsts = np.flatnonzero(np.r_[starts[:1] == months[:1], months[1:] != months[:-1]])
        years = firsts[months[firsts] == months[firsts].astype("datetime64[Y]")]
        few = len(firsts) <= room or len(years) < 3
        places, length = (firsts, 7) if few else (years, 4)
        places = places[:: -(-len(places) // room)]
    edge = length < 10
    axes.set_xticks(places - 0.5 * edge, [str(day)[:length] for day in starts[places]], ha="left" if edge else "center")


def _legend_lines(categories: Sequence[Category], width_px: int) -> list[list[tuple[float, Category]]]:
    """Return the legend's lines: where each category stands, px from the left."""
    lines: list[list[tuple[float, Category]]] = [[]]
    x = 12.0
    for category in categories:
        wide = 34 + 5.6 * len(category.name)
        if x + wide > width_px and lines[-1]:
            lines.append([])
            x = 12.0
        lines[-1].append((x, category))
        x += wide
    return lines


def _draw_legend(
    figure: Figure, lines: Sequence[Sequence[tuple[float, Category]]], width_px: int, height_px: int
) -> None:
    from matplotlib.patches import Rectangle  # noqa: PLC0415

    for number, line in enumerate(lines):
        y = height_px - 42 - 18 * number
        for x, category in line:
            box = Rectangle(
                (x / width_px, y / height_px), 12 / width_px, 10 / height_px,
                facecolor=category.color, edgecolor=FAINT, linewidth=0.5,
            )  # fmt: skip
            figure.add_artist(box)
            figure.text((x + 17) / width_px, (y + 5) / height_px, category.name, color=INK, size=FONT, va="center")


def _style(axes: Axes) -> None:
    axes.set_facecolor(PAPER)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    axes.tick_params(length=0, labelsize=FONT, labelcolor=FAINT, pad=4)
    for side in axes.spines.values():
        side.set_visible(False)
