"""A chart that a notebook shows and that can be saved. Not here: what is on it (``plots``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from chandlery.core.text import counted

#: What a notebook gives it, px: it is readable from 390 px on.
_HEIGHT = 780


@dataclass(frozen=True, slots=True)
class Chart:
    """An interactive chart of candles: one page of HTML, which opens without a network.

    Attributes:
        symbol: of the instrument.
        timeframe: of the bars that are drawn; wider than what was asked for where those are too many.
        bars: how many are drawn.
        gaps: by reason, how many runs of bars are missing.
        html: the page.
    """

    symbol: str
    timeframe: str
    bars: int
    gaps: dict[str, int]
    html: str = field(repr=False)

    def save(self, path: str | Path) -> Path:
        """Write the page to a file and return its path; its folder is made, and a file that is there is replaced."""
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.html, encoding="utf-8")
        return file

    def __repr__(self) -> str:
        """Say what is drawn, and what to do with it."""
        return f"<Chart {self.symbol} {self.timeframe}, {counted(self.bars, 'bar')}; save('chart.html') writes it>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the page in a frame of its own, which can reach nothing else."""
        return (
            f'<iframe title="Chart of {escape(self.symbol)} {escape(self.timeframe)}" sandbox="allow-scripts"'
            f' style="width:100%;height:{_HEIGHT}px;border:0" srcdoc="{escape(self.html)}"></iframe>'
        )
