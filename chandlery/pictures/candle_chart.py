"""What an interactive chart of candles shows. Not here: how it becomes a page (``candle_page``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.errors import UsageError

Kind: TypeAlias = Literal["revision", "rejected", "false_print", "finding", "released"]
#: What may be marked, and what the legend calls it, in its order.
KINDS: Mapping[Kind, str] = {
    "revision": "restated",
    "rejected": "rejected row",
    "false_print": "false print",
    "finding": "noticed by the gate",
    "released": "released by a person",
}


@dataclass(frozen=True, slots=True)
class Category:
    """Why bars may be missing: the name in the legend, and one sentence."""

    name: str
    about: str


#: By the reason of a gap, in the order of the legend; each has a shade of its own in ``templates/candles.css``.
CATEGORIES: Mapping[str, Category] = {
    "no_trades": Category("no trade", "nothing was traded"),
    "closed": Category("holiday", "the market was closed"),
    "halted": Category("halted", "trading was halted"),
    "provider_gap": Category("provider gap", "the provider was asked after the session had settled, and had no bar"),
    "not_observed": Category("not observed", "not all of the session was requested from a provider"),
    "never_fetched": Category("never fetched", "no provider ever answered for it"),
    "quarantined": Category("quarantined", "the gate rejected what the provider sent; it waits for a person"),
    "not_final": Category("not final yet", "the session is under way, or was not requested since it settled"),
    "not_known": Category("not known then", "the bar was learned after the time as of which this chart is"),
    "not_listed": Category("not listed", "the instrument was not listed"),
}


@dataclass(frozen=True, slots=True)
class Blank:
    """A run of missing bars.

    Attributes:
        start: of the first, µs since 1970-01-01 UTC.
        end: of the last one's end.
        slots: how many they are.
        reason: one of ``CATEGORIES``.
        detail: what else is known.
    """

    start: int
    end: int
    slots: int
    reason: str
    detail: str = ""

    def __post_init__(self) -> None:
        """Refuse a reason that has no shade."""
        if self.reason not in CATEGORIES:
            raise UsageError(f"reason={self.reason!r} is not known; allowed: {' '.join(CATEGORIES)}")


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that is said of one bar, or of one that is missing.

    Attributes:
        ts: its start, µs since 1970-01-01 UTC.
        kind: one of ``KINDS``.
        text: what is said, one line.
        values: earlier or rejected ones, ``(open, high, low, close, volume)``; None where nothing is to be drawn.
    """

    ts: int
    kind: Kind
    text: str
    values: tuple[float | None, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One column of an indicator.

    Attributes:
        name: of the column.
        panel: the name of the panel below in which it is drawn, with others of that name; empty over the candles.
        values: one for each bar, NaN where there is none.
    """

    name: str
    panel: str
    values: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class CandleChart:
    """A chart.

    Attributes:
        symbol: of the instrument.
        name: what people call it, or nothing.
        width: of the bars: ``1m``, ``1d``.
        is_intraday: whether bars are shorter than a day.
        bars: columns ``ts open high low close volume``, oldest first.
        extended: which of the bars are outside of regular hours.
        blanks: runs of missing bars, oldest first; none has a bar in it.
        marks: what is marked.
        lines: indicators.
        facts: names and texts above the chart.
        notes: sentences about the chart, such as what it leaves out.
    """

    symbol: str
    name: str
    width: str
    is_intraday: bool
    bars: pa.Table
    extended: npt.NDArray[np.bool_]
    blanks: Sequence[Blank] = ()
    marks: Sequence[Mark] = ()
    lines: Sequence[Line] = ()
    facts: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = field(default_factory=list)
