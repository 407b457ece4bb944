"""A heat map of the states of sessions, as PNG: symbol by time.

Not here: where the states come from (``states``, ``state_map``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from chandlery.coverage.session_states import State
from chandlery.coverage.state_grid import Codes, StateMap
from chandlery.pictures.canvas import FAINT, FONT, INK, PAPER, RULE, new_figure, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Times: TypeAlias = npt.NDArray[np.datetime64]

#: Apart from each other in lightness or in hue, also to those who see two of the three primary colours.
STATE_COLORS = {
    State.COMPLETE: "#2b7bba",
    State.NO_TRADES: "#a9cbe4",
    State.PARTIAL: "#f2d13c",
    State.HALTED: "#a0307a",
    State.PROVIDER_GAP: "#d9722e",
    State.QUARANTINED: "#8b0000",
    State.NOT_FINAL: "#6fbf73",
    State.NEVER_FETCHED: "#3d4149",
    State.CLOSED: "#f1efe9",
    State.NOT_LISTED: "#b9b5ab",
}
#: From the best to the worst.
_SEVERITY = (
    State.CLOSED, State.NOT_LISTED, State.COMPLETE, State.NO_TRADES, State.HALTED, State.NOT_FINAL, State.PARTIAL,
    State.NEVER_FETCHED, State.PROVIDER_GAP, State.QUARANTINED,
)  # fmt: skip
#: Colour of each code of a state; the last is that of -1, where nothing is known.
_PALETTE = np.array(
    [[int(color[at : at + 2], 16) for at in (1, 3, 5)] for color in (*(STATE_COLORS[s] for s in State), PAPER)],
    np.uint8,
)
#: The rank of each code, and the code of each rank; that of -1 is the lowest.
_RANK = np.array([*(_SEVERITY.index(state) + 1 for state in State), 0], np.int8)
_BY_RANK = np.array([-1, *(list(State).index(state) for state in _SEVERITY)], np.int8)
#: So many rows at most: height of each, px; size of its label, points.
_ROWS = ((40, 20, 8.0), (120, 14, 7.5), (10**9, 9, 5.5))
_LABELLED_TWICE, _SEPARATED = 40, 14
#: Of a column, px: how wide it may grow, and from when closed days are shown.
_WIDEST, _CLOSED_SHOWS = 28, 4
_UNITS = {"M": "month", "Y": "year"}


def states_png(states: StateMap, *, title: str, width_px: int = 1000) -> bytes:
    """Return a heat map of the states of sessions: a row a symbol; a column a day, or a month where there are many.

    A month shows its worst state, so that no gap disappears. Where a day is too narrow to show that it is closed, it
    looks like the session before it.

    Args:
        states: what to draw.
        title: above the map.
        width_px: of the picture; its height follows from the number of symbols.
    """
    rows = len(states.symbols)
    row_px, size = next((row, size) for most, row, size in _ROWS if rows <= most)
    margin = 24 + size * 0.85 * max(map(len, states.symbols))
    cells, starts, unit = _columns(states, int(width_px - margin - 12))
    drawn = min(width_px - margin - 12, _WIDEST * cells.shape[1])
    shown = [state for state in State if (cells == _code(state)).any()]
    lines = _legend_lines(shown, width_px)
    top, bottom = 42 + 18 * len(lines) + (14 if rows > _LABELLED_TWICE else 0), 26
    height_px = top + row_px * rows + bottom
    figure = new_figure(width_px, height_px)
    axes = figure.add_axes((margin / width_px, bottom / height_px, drawn / width_px, row_px * rows / height_px))
    axes.imshow(_PALETTE[cells], aspect="auto", interpolation="nearest")
    axes.set_yticks(range(rows), states.symbols)
    if row_px >= _SEPARATED:
        axes.hlines(np.arange(rows - 1) + 0.5, -0.5, cells.shape[1] - 0.5, color=PAPER, linewidth=2)
    _plain(axes)
    axes.grid(visible=False)
    axes.tick_params(axis="y", labelsize=size, labelcolor=INK)
    axes.tick_params(axis="x", labeltop=rows > _LABELLED_TWICE)
    _label_columns(axes, starts, unit, drawn)
    figure.text(12 / width_px, 1 - 20 / height_px, title, color=INK, size=9, weight="bold")
    per = "a column is a day" if unit == "D" else f"a column is a {_UNITS[unit]}, in its worst state"
    figure.text(1 - 12 / width_px, 1 - 20 / height_px, per, color=FAINT, size=FONT, ha="right")
    _draw_legend(figure, lines, width_px, height_px)
    return to_png(figure)


def _columns(states: StateMap, width_px: int) -> tuple[Codes, Times, str]:
    """Return codes of at most ``width_px`` columns, the first day of each, and what each is: ``D``, ``M`` or ``Y``."""
    days = np.datetime64(states.first, "D") + np.arange(states.codes.shape[1])
    codes = states.codes
    if codes.shape[1] <= width_px:
        return (codes if width_px >= _CLOSED_SHOWS * codes.shape[1] else _spread(codes)), days, "D"
    worst = _RANK[codes]
    for unit in ("M", "Y"):
        starts = np.flatnonzero(
            np.r_[True, days[1:].astype(f"datetime64[{unit}]") != days[:-1].astype(f"datetime64[{unit}]")]
        )
        if len(starts) <= width_px:
            break
    found = np.maximum.reduceat(worst, starts, axis=1)
    return _BY_RANK[found], days[starts].astype(f"datetime64[{unit}]").astype("datetime64[D]"), unit


def _spread(codes: Codes) -> Codes:
    """Return ``codes`` with closed days as the session before them."""
    place = np.where(codes == _code(State.CLOSED), 0, np.arange(codes.shape[1]))
    place = np.maximum.accumulate(place, axis=1)
    return np.take_along_axis(codes, place, axis=1)


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


def _legend_lines(states: Sequence[State], width_px: int) -> list[list[tuple[float, State]]]:
    """Return the legend's lines: where each state stands, px from the left."""
    lines: list[list[tuple[float, State]]] = [[]]
    x = 12.0
    for state in states:
        wide = 34 + 5.6 * len(_name(state))
        if x + wide > width_px and lines[-1]:
            lines.append([])
            x = 12.0
        lines[-1].append((x, state))
        x += wide
    return lines


def _draw_legend(figure: Figure, lines: Sequence[Sequence[tuple[float, State]]], width_px: int, height_px: int) -> None:
    from matplotlib.patches import Rectangle  # noqa: PLC0415

    for number, line in enumerate(lines):
        y = height_px - 42 - 18 * number
        for x, state in line:
            box = Rectangle(
                (x / width_px, y / height_px), 12 / width_px, 10 / height_px,
                facecolor=STATE_COLORS[state], edgecolor=FAINT, linewidth=0.5,
            )  # fmt: skip
            figure.add_artist(box)
            figure.text((x + 17) / width_px, (y + 5) / height_px, _name(state), color=INK, size=FONT, va="center")


def _name(state: State) -> str:
    return state.value.replace("_", " ")


def _plain(axes: Axes) -> None:
    axes.set_facecolor(PAPER)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    axes.tick_params(length=0, labelsize=FONT, labelcolor=FAINT, pad=4)
    for side in axes.spines.values():
        side.set_visible(False)


def _code(state: State) -> int:
    return list(State).index(state)
