"""Pictures of bars and of coverage, as PNG, quickly: they go into every run's record.

Drawn with Matplotlib's figure alone; pyplot keeps global state and looks for a display. Not here: interactive charts
(``report``).
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats: TypeAlias = npt.NDArray[np.float64]
Times: TypeAlias = npt.NDArray[np.datetime64]

#: Blue and orange are told apart by everyone; fills also differ in weight.
UP, DOWN = "#2b7bba", "#d9722e"
_PAPER, _INK, _FAINT, _RULE = "#fbfaf7", "#23262d", "#6d7178", "#e4e1d9"
_DPI = 100
_FONT = 7.5
_MONTHS_NAMED = 8


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
    figure = _figure(width_px, height_px)
    left, right = 52 / width_px, 1 - 12 / width_px
    top, bottom, split = 1 - 30 / height_px, 22 / height_px, 0.27
    prices = figure.add_axes((left, split, right - left, top - split))
    volume = figure.add_axes((left, bottom, right - left, split - bottom - 0.025))
    _draw_candles(prices, shown)
    _draw_volume(volume, shown)
    for axes in (prices, volume):
        axes.set_xlim(-0.8, shown.num_rows - 0.2)
        _plain(axes)
    _label_times(volume, _times(shown))
    prices.set_xticks(volume.get_xticks(), [])
    figure.text(left, 1 - 18 / height_px, title, color=_INK, size=9, weight="bold")
    per = "" if shown.num_rows == bars.num_rows else f", {-(-bars.num_rows // max_candles)} bars a candle"
    figure.text(right, 1 - 18 / height_px, f"{bars.num_rows:,} bars{per}", color=_FAINT, size=_FONT, ha="right")
    return _png(figure)


def coverage_png(coverage: pa.Table, *, title: str, width_px: int = 720) -> bytes:
    """Return a heat map of the share of expected sessions that are there: a row for each symbol, a column for each month.

    Args:
        coverage: columns ``symbol``, ``month`` (any day of it) and ``share`` (0 to 1); a month without a row stays blank.
        title: above the map.
        width_px: of the picture; its height follows from the number of symbols.

    Raises:
        UsageError: there is no row.
    """
    if not coverage.num_rows:
        raise UsageError("coverage is empty; a picture needs one month at least")
    symbols = list(dict.fromkeys(coverage["symbol"].to_pylist()))
    months = coverage["month"].to_numpy().astype("datetime64[M]")
    first, count = months.min(), int((months.max() - months.min()).astype(np.int64)) + 1
    share = np.full((len(symbols), count), np.nan)
    rows = {symbol: place for place, symbol in enumerate(symbols)}
    at = [rows[symbol] for symbol in coverage["symbol"].to_pylist()]
    share[at, (months - first).astype(np.int64)] = coverage["share"].to_numpy()

    height_px = 62 + 20 * len(symbols)
    margin = 24 + 6 * max(map(len, symbols))
    figure = _figure(width_px, height_px)
    axes = figure.add_axes((margin / width_px, 24 / height_px, 1 - (margin + 12) / width_px, 20 * len(symbols) / height_px))
    axes.imshow(share, aspect="auto", interpolation="nearest", cmap=_shades(), vmin=0, vmax=1)
    axes.set_yticks(range(len(symbols)), symbols)
    axes.hlines(np.arange(len(symbols) - 1) + 0.5, -0.5, count - 0.5, color=_PAPER, linewidth=3)
    _plain(axes)
    axes.grid(visible=False)
    axes.tick_params(axis="y", labelsize=_FONT + 0.5, labelcolor=_INK)
    _label_months(axes, first + np.arange(count))
    figure.text(12 / width_px, 1 - 20 / height_px, title, color=_INK, size=9, weight="bold")
    legend = "dark: every session there · orange: none · blank: before the first bar or after the last"
    figure.text(1 - 12 / width_px, 1 - 20 / height_px, legend, color=_FAINT, size=_FONT, ha="right")
    return _png(figure)


def _draw_candles(axes: Axes, bars: pa.Table) -> None:
    from matplotlib.collections import LineCollection, PolyCollection  # noqa: PLC0415

    opens, high, low, close = (_numbers(bars, name) for name in ("open", "high", "low", "close"))
    x = np.arange(len(opens), dtype=np.float64)
    colors = np.where(close >= opens, UP, DOWN)
    wicks = np.stack([np.column_stack([x, low]), np.column_stack([x, high])], axis=1)
    axes.add_collection(LineCollection(wicks, colors=colors, linewidths=0.8))
    # A bar that closes where it opened still shows: as a stroke of the body's width.
    bodies = PolyCollection(_boxes(x, np.minimum(opens, close), np.maximum(opens, close)), facecolors=colors)
    bodies.set(edgecolors=colors, linewidths=0.6)
    axes.add_collection(bodies)
    floor, ceiling = float(low.min()), float(high.max())
    pad = (ceiling - floor) * 0.05 or abs(ceiling) * 0.01 or 1.0
    axes.set_ylim(floor - pad, ceiling + pad)


def _draw_volume(axes: Axes, bars: pa.Table) -> None:
    from matplotlib.collections import PolyCollection  # noqa: PLC0415

    volume = np.nan_to_num(_numbers(bars, "volume"))
    x = np.arange(len(volume), dtype=np.float64)
    colors = np.where(_numbers(bars, "close") >= _numbers(bars, "open"), UP, DOWN)
    axes.add_collection(PolyCollection(_boxes(x, np.zeros_like(x), volume), facecolors=colors, alpha=0.55, linewidths=0))
    axes.set_ylim(0, float(volume.max()) * 1.1 or 1.0)
    axes.locator_params(axis="y", nbins=2)
    axes.yaxis.set_major_formatter(lambda value, _: _short(value))


def _boxes(x: Floats, bottom: Floats, top: Floats, half: float = 0.36) -> Floats:
    """Return the corners of an upright box about each ``x``: shape (n, 4, 2)."""
    left, right = x - half, x + half
    corners = [(left, bottom), (left, top), (right, top), (right, bottom)]
    return np.stack([np.column_stack(corner) for corner in corners], axis=1)


def _label_times(axes: Axes, ts: Times) -> None:
    """Label about seven bars with their date or, where the bars span less than four days, with their time."""
    places = np.unique(np.linspace(0, len(ts) - 1, min(7, len(ts))).round().astype(int))
    span = ts[-1] - ts[0]
    if span > np.timedelta64(3 * 365, "D"):
        texts = [str(moment.astype("datetime64[M]")) for moment in ts[places]]
    elif span >= np.timedelta64(4, "D"):
        texts = [str(moment.astype("datetime64[D]")) for moment in ts[places]]
    else:
        texts = [str(moment.astype("datetime64[m]")).replace("T", " ")[5:] for moment in ts[places]]
    axes.set_xticks(places, texts)
    _keep_inside(axes)


def _label_months(axes: Axes, months: Times) -> None:
    years = np.flatnonzero(months.astype("datetime64[Y]") == months)
    if len(years) >= 3:
        places = years[:: -(-len(years) // 14)]
        axes.set_xticks(places - 0.5, [str(month)[:4] for month in months[places]])
    else:
        places = np.arange(0, len(months), -(-len(months) // _MONTHS_NAMED))
        axes.set_xticks(places, [str(month) for month in months[places]])


def _keep_inside(axes: Axes) -> None:
    labels = axes.get_xticklabels()
    if len(labels) > 1:
        labels[0].set_horizontalalignment("left")
        labels[-1].set_horizontalalignment("right")


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


def _shades() -> Any:  # noqa: ANN401 - a Matplotlib colormap
    from matplotlib.colors import LinearSegmentedColormap  # noqa: PLC0415

    shades = LinearSegmentedColormap.from_list("coverage", [(0, DOWN), (0.5, "#f3d9b8"), (0.9, "#a9cbe4"), (1, UP)])
    return shades.with_extremes(bad=_PAPER)


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
