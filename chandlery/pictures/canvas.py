"""What all pictures share: their colours, and how a figure becomes a PNG.

They are drawn on Matplotlib's figure alone, because pyplot keeps global state and looks for a display. Not here: what
is drawn (``charts``, ``heatmap``).
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAPER, INK, FAINT, RULE = "#fbfaf7", "#23262d", "#6d7178", "#e4e1d9"
#: Size of text, in points.
FONT = 7.5
_DPI = 100


def new_figure(width_px: int, height_px: int) -> Figure:
    """Return an empty figure of this size, in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow to import, rarely needed
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width_px / _DPI, height_px / _DPI), dpi=_DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    return figure


def to_png(figure: Figure) -> bytes:
    """Return the figure as a PNG."""
    out = BytesIO()
    # The fastest compression: a third of the whole time otherwise, for a few kilobytes.
    figure.savefig(out, format="png", pil_kwargs={"compress_level": 1})
    return out.getvalue()
