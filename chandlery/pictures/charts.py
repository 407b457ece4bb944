"""Draws pictures of candles, as PNG. It has to be quick, because every run's record gets one.

Not here: interactive charts (``report``), and pictures of coverage (``heatmap``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.core.text import counted
from chandlery.errors import UsageError
from chandlery.pictures.canvas import FAINT, FONT, INK, RULE, new_figure, to_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats: TypeAlias = npt.NDArray[np.float64]
Times: TypeAlias = npt.NDArray[np.datetime64]
Colors: TypeAlias = npt.NDArray[np.str_]
Range: TypeAlias = tuple[float, float]

#: Blue and orange are told apart by everyone; fills also differ in weight.
UP, DOWN = "#2b7bba", "#d9722e"
_SLOTS = 30
#: A label of the time takes about so much, with the space beside it.
_LABEL_PX = 85


def combine(bars: pa.Table, most: int) -> pa.Table:
    """Combine neighbouring bars of one symbol, so that at most ``most`` are returned.

    A combined bar has the first open, the highest high, the lowest low, the last close and the sum of the volumes.

    Args:
        bars: columns ``ts open high low close volume``, oldest first.
        most: 1 or more; if there are no more bars than this, they are returned as they are.
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
        title: the text above the chart.
        width_px: the picture's width, in pixels.
        height_px: the picture's height, in pixels.
        max_candles: if there are more bars than this, they are combined exactly (see ``combine``).

    Raises:
        UsageError: there is no bar, or ``max_candles`` is less than 1.
    """
    if not bars.num_rows:
        raise UsageError("bars is empty; a picture needs one bar at least")
    if max_candles < 1:
        raise UsageError(f"max_candles={max_candles} is not allowed; give 1 or more")
    shown = combine(bars, max_candles)
    canvas = _Canvas(new_figure(width_px, height_px), 52.0, width_px - 12.0, shown.num_rows)
    split = 0.27 * height_px
    _draw_candles(canvas, shown, (split, height_px - 34.0))
    _draw_volume(canvas, shown, (22.0, split - 10.0))
    _label_times(canvas, _times(shown))
    per = "" if shown.num_rows == bars.num_rows else f", {-(-bars.num_rows // max_candles)} bars a candle"
    count = f"{counted(bars.num_rows, 'bar')}{per}"
    canvas.write(canvas.left, height_px - 18, title, color=INK, size=9, weight="bold")
    canvas.write(canvas.right, height_px - 18, count, ha="right")
    return to_png(canvas.figure)


class _Canvas:
    """A figure on which things are drawn in pixels. Matplotlib's axes are not used: they would take most of the time.

    Args:
        figure: the figure to draw on.
        left: the x at which the first candle's place begins, in pixels.
        right: the x at which the last candle's place ends, in pixels.
        candles: how many candles there are. A few stand in the middle at a usual width, instead of growing into blocks.
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
        """Write ``text``, small and faint unless ``how`` says otherwise."""
        how = {"color": FAINT, "size": FONT, **how}
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
    canvas.lines(begins, ends, RULE, 0.7, behind=True)
    for value, height in zip(values.tolist(), heights.tolist(), strict=True):
        text = name(value) if name else f"{value:,.{decimals}f}"
        canvas.write(canvas.left - 6, height, text, ha="right", va="center")


def _label_times(canvas: _Canvas, ts: Times) -> None:
    """Label about seven bars, fewer in a narrow picture, with their month, date or, within four days, their time."""
    whole_days = bool((ts == ts.astype("datetime64[D]")).all())
    span = ts[-1] - ts[0]
    fitting = max(2, min(7, int((canvas.right - canvas.left) / _LABEL_PX)))
    most = fitting if len(ts) >= _SLOTS else max(1, round(fitting * len(ts) / _SLOTS))
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
