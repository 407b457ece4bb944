"""Pictures of bars and of coverage, as PNG, quickly: they go into every run's record.

Drawn with Matplotlib's figure alone; pyplot keeps global state and looks for a display. Not here: interactive charts
(``report``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.errors import UsageError
from chandlery.states import Codes, State, StateMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats: TypeAlias = npt.NDArray[np.float64]
Times: TypeAlias = npt.NDArray[np.datetime64]
Colors: TypeAlias = npt.NDArray[np.str_]
Range: TypeAlias = tuple[float, float]

#: Blue and orange are told apart by everyone; fills also differ in weight.
UP, DOWN = "#2b7bba", "#d9722e"
_PAPER, _INK, _FAINT, _RULE = "#fbfaf7", "#23262d", "#6d7178", "#e4e1d9"
_DPI = 100
_FONT = 7.5
_SLOTS = 30

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
    [[int(color[at : at + 2], 16) for at in (1, 3, 5)] for color in (*(STATE_COLORS[s] for s in State), _PAPER)],
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


def combine(bars: pa.Table, most: int) -> pa.Table:
    """Return ``bars`` of one symbol as at most ``most`` bars of as many neighbours each: first, max, min, last, sum.

    Args:
        bars: columns ``ts open high low close volume``, oldest first.
        most: 1 or more; so many bars or fewer are returned as they are.
    """
    bars = bars.select(["ts", "open", "high", "low", "close", "volume"])
    rows = bars.num_rows
    if rows <= most:
        return bars
    starts = np.arange(0, rows, -(-rows // most))
    ends = np.r_[starts[1:], rows] - 1
    return pa.table(
        {
            "ts": bars["ts"].take(pa.array(starts)),
            "open": _numbers(bars, "open")[starts],
            "high": np.maximum.reduceat(_numbers(bars, "high"), starts),
            "low": np.minimum.reduceat(_numbers(bars, "low"), starts),
            "close": _numbers(bars, "close")[ends],
            "volume": np.add.reduceat(np.nan_to_num(_numbers(bars, "volume")), starts),
        },
        schema=bars.schema,
    )


def candles_png(
    bars: pa.Table, *, title: str, width_px: int = 720, height_px: int = 280, max_candles: int = 250
) -> bytes:
    """Return a picture of candles with their volume below.

    Args:
        bars: bars of one symbol, oldest first, with prices; columns as in ``schema.BARS``. Bars stand side by side, so
            that nights and weekends leave no gap.
        title: above the chart.
        width_px: of the picture.
        height_px: of the picture.
        max_candles: more bars are combined exactly (see ``combine``) until there are so few.

    Raises:
        UsageError: there is no bar, or ``max_candles`` is less than 1.
    """
    if not bars.num_rows:
        raise UsageError("bars is empty; a picture needs one bar at least")
    if max_candles < 1:
        raise UsageError(f"max_candles={max_candles} is not allowed; give 1 or more")
    shown = combine(bars, max_candles)
    canvas = _Canvas(_figure(width_px, height_px), 52.0, width_px - 12.0, shown.num_rows)
    split = 0.27 * height_px
    _draw_candles(canvas, shown, (split, height_px - 34.0))
    _draw_volume(canvas, shown, (22.0, split - 10.0))
    _label_times(canvas, _times(shown))
    per = "" if shown.num_rows == bars.num_rows else f", {-(-bars.num_rows // max_candles)} bars a candle"
    count = f"{bars.num_rows:,} bar{'s' if bars.num_rows > 1 else ''}{per}"
    canvas.write(canvas.left, height_px - 18, title, color=_INK, size=9, weight="bold")
    canvas.write(canvas.right, height_px - 18, count, ha="right")
    return _png(canvas.figure)


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
    figure = _figure(width_px, height_px)
    axes = figure.add_axes((margin / width_px, bottom / height_px, drawn / width_px, row_px * rows / height_px))
    axes.imshow(_PALETTE[cells], aspect="auto", interpolation="nearest")
    axes.set_yticks(range(rows), states.symbols)
    if row_px >= _SEPARATED:
        axes.hlines(np.arange(rows - 1) + 0.5, -0.5, cells.shape[1] - 0.5, color=_PAPER, linewidth=2)
    _plain(axes)
    axes.grid(visible=False)
    axes.tick_params(axis="y", labelsize=size, labelcolor=_INK)
    axes.tick_params(axis="x", labeltop=rows > _LABELLED_TWICE)
    _label_columns(axes, starts, unit, drawn)
    figure.text(12 / width_px, 1 - 20 / height_px, title, color=_INK, size=9, weight="bold")
    per = "a column is a day" if unit == "D" else f"a column is a {_UNITS[unit]}, in its worst state"
    figure.text(1 - 12 / width_px, 1 - 20 / height_px, per, color=_FAINT, size=_FONT, ha="right")
    _draw_legend(figure, lines, width_px, height_px)
    return _png(figure)


class _Canvas:
    """A figure on which things are drawn in pixels, without Matplotlib's axes: these would take most of the time.

    Args:
        figure: to draw on.
        left: where the first candle's place begins.
        right: where the last one's ends.
        candles: how many there are. A few stand in the middle at a usual width, instead of growing into blocks.
    """

    def __init__(self, figure: Figure, left: float, right: float, candles: int) -> None:
        from matplotlib.transforms import IdentityTransform  # noqa: PLC0415

        slot = (right - left) / max(candles, _SLOTS)
        self.figure = figure
        self.left = left
        self.right = right
        places = np.arange(candles, dtype=np.float64) - (candles - 1) / 2
        self.x: Floats = (left + right) / 2 + places * slot
        self._half = 0.36 * slot
        self._pixels = IdentityTransform()

    def boxes(self, bottom: Floats, top: Floats, colors: Colors, *, edge: float = 0.0, alpha: float = 1.0) -> None:
        """Draw an upright box at each candle's place."""
        from matplotlib.collections import PolyCollection  # noqa: PLC0415

        left, right = self.x - self._half, self.x + self._half
        corners = [(left, bottom), (left, top), (right, top), (right, bottom)]
        boxes = np.stack([np.column_stack(corner) for corner in corners], axis=1)
        drawn = PolyCollection(list(boxes), facecolors=colors, linewidths=edge, alpha=alpha, transform=self._pixels)
        drawn.set_edgecolor(colors.tolist() if edge else "none")
        self.figure.add_artist(drawn)

    def lines(self, begins: Floats, ends: Floats, colors: Colors | str, width: float, *, behind: bool = False) -> None:
        """Draw a line from each of ``begins`` to each of ``ends``, both of shape (n, 2)."""
        from matplotlib.collections import LineCollection  # noqa: PLC0415

        segments = list(np.stack([begins, ends], axis=1))
        zorder = 0 if behind else 1
        self.figure.add_artist(
            LineCollection(segments, colors=colors, linewidths=width, zorder=zorder, transform=self._pixels)
        )

    def write(self, x: float, y: float, text: str, **how: Any) -> None:  # noqa: ANN401 - Matplotlib's own
        """Write ``text``, small and faint unless told otherwise."""
        how = {"color": _FAINT, "size": _FONT, **how}
        self.figure.text(x, y, text, transform=self._pixels, **how)


def _draw_candles(canvas: _Canvas, bars: pa.Table, y_range: Range) -> None:
    opens, high, low, close = (_numbers(bars, name) for name in ("open", "high", "low", "close"))
    floor, ceiling = float(low.min()), float(high.max())
    pad = (ceiling - floor) * 0.05 or abs(ceiling) * 0.01 or 1.0
    scale = _Scale(floor - pad, ceiling + pad, *y_range)
    _draw_rules(canvas, scale, 5)
    colors = np.where(close >= opens, UP, DOWN)
    canvas.lines(np.column_stack([canvas.x, scale(low)]), np.column_stack([canvas.x, scale(high)]), colors, 0.8)
    # A bar that closes where it opened still shows: as a stroke of the body's width.
    canvas.boxes(scale(np.minimum(opens, close)), scale(np.maximum(opens, close)), colors, edge=0.6)


def _draw_volume(canvas: _Canvas, bars: pa.Table, y_range: Range) -> None:
    volume = np.nan_to_num(_numbers(bars, "volume"))
    scale = _Scale(0.0, float(volume.max()) * 1.05 or 1.0, *y_range)
    _draw_rules(canvas, scale, 2, _short)
    colors = np.where(_numbers(bars, "close") >= _numbers(bars, "open"), UP, DOWN)
    canvas.boxes(scale(np.zeros_like(volume)), scale(volume), colors, alpha=0.55)


def _draw_rules(canvas: _Canvas, scale: _Scale, most: int, name: Callable[[float], str] | None = None) -> None:
    """Draw a horizontal rule at each of at most ``most`` round values, with its name at the left."""
    values, decimals = _round_values(scale.low, scale.high, most)
    heights = scale(values)
    begins, ends = (np.column_stack([np.full_like(heights, x), heights]) for x in (canvas.left, canvas.right))
    canvas.lines(begins, ends, _RULE, 0.7, behind=True)
    for value, height in zip(values.tolist(), heights.tolist(), strict=True):
        text = name(value) if name else f"{value:,.{decimals}f}"
        canvas.write(canvas.left - 6, height, text, ha="right", va="center")


def _label_times(canvas: _Canvas, ts: Times) -> None:
    """Label about seven bars with their month, their date or, within four days, their time."""
    whole_days = bool((ts == ts.astype("datetime64[D]")).all())
    span = ts[-1] - ts[0]
    most = 7 if len(ts) >= _SLOTS else max(1, round(7 * len(ts) / _SLOTS))
    for place in np.unique(np.linspace(0, len(ts) - 1, most).round().astype(int)).tolist():
        if span > np.timedelta64(3 * 365, "D"):
            text = str(ts[place].astype("datetime64[M]"))
        elif whole_days or span >= np.timedelta64(4, "D"):
            text = str(ts[place].astype("datetime64[D]"))
        else:
            text = str(ts[place].astype("datetime64[m]")).replace("T", " ")[5:]
        side = "center"
        if len(ts) >= _SLOTS and place in {0, len(ts) - 1}:  # these would stick out
            side = "right" if place else "left"
        canvas.write(canvas.x[place], 8, text, ha=side, va="center")


@dataclass(frozen=True, slots=True)
class _Scale:
    """Maps values from ``low`` to ``high`` onto pixels from ``bottom`` to ``top``."""

    low: float
    high: float
    bottom: float
    top: float

    def __call__(self, values: Floats) -> Floats:
        """Return the pixels of ``values``."""
        return self.bottom + (values - self.low) * ((self.top - self.bottom) / (self.high - self.low))


def _round_values(low: float, high: float, most: int) -> tuple[Floats, int]:
    """Return at most ``most`` round values from ``low`` to ``high``, and how many decimals they need."""
    magnitude = 10.0 ** np.floor(np.log10((high - low) / most))
    steps = (factor * magnitude for factor in (1, 2, 5, 10, 20))
    step = next(step for step in steps if np.floor(high / step) - np.ceil(low / step) < most)
    values = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step + 0.0  # which makes -0 a 0
    return values, max(0, -int(np.floor(np.log10(step) + 1e-9)))


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
                facecolor=STATE_COLORS[state], edgecolor=_FAINT, linewidth=0.5,
            )  # fmt: skip
            figure.add_artist(box)
            figure.text((x + 17) / width_px, (y + 5) / height_px, _name(state), color=_INK, size=_FONT, va="center")


def _name(state: State) -> str:
    return state.value.replace("_", " ")


def _figure(width_px: int, height_px: int) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow to import, rarely needed
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width_px / _DPI, height_px / _DPI), dpi=_DPI, facecolor=_PAPER)
    FigureCanvasAgg(figure)
    return figure


def _plain(axes: Axes) -> None:
    axes.set_facecolor(_PAPER)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=_RULE, linewidth=0.7)
    axes.tick_params(length=0, labelsize=_FONT, labelcolor=_FAINT, pad=4)
    for side in axes.spines.values():
        side.set_visible(False)


def _code(state: State) -> int:
    return list(State).index(state)


def _png(figure: Figure) -> bytes:
    out = BytesIO()
    # The fastest compression: a third of the whole time otherwise, for a few kilobytes.
    figure.savefig(out, format="png", pil_kwargs={"compress_level": 1})
    return out.getvalue()


def _short(value: float) -> str:
    for factor, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:g}{unit}"
    return f"{value:g}"


def _numbers(bars: pa.Table, name: str) -> Floats:
    values: Floats = bars[name].to_numpy().astype(np.float64, copy=False)
    return values


def _times(bars: pa.Table) -> Times:
    times: Times = bars["ts"].to_numpy().astype("datetime64[us]")
    return times
