"""Where bars and gaps stand on a chart whose axis leaves out the time in which the market is closed.

A bar takes one place. A gap takes as many places as it lacks bars, up to a limit, so that years of nothing do not hide
what there is; and one for each rejected row that is drawn in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chandlery.pictures.candle_chart import Blank
from chandlery.pictures.packed import Int64s

#: The most places that a gap takes; and how many a closed day takes among bars of minutes and hours.
WIDEST, CLOSED = 24, 6


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """Places, counted from 0.

    Attributes:
        bars: of each bar.
        blanks: the first of each gap.
        widths: how many places each gap takes.
        length: how many places there are.
    """

    bars: Int64s
    blanks: Int64s
    widths: Int64s
    length: int


def lay_axis(ts: Int64s, blanks: Sequence[Blank], rejected: Int64s, *, is_intraday: bool) -> Axis:
    """Return where everything stands.

    Args:
        ts: starts of the bars, ascending.
        blanks: oldest first.
        rejected: starts of rejected rows that are drawn, ascending.
        is_intraday: whether bars are shorter than a day.
    """
    starts = np.array([blank.start for blank in blanks], np.int64)
    ends = np.array([blank.end for blank in blanks], np.int64)
    slots = np.array([blank.slots for blank in blanks], np.int64)
    inside = np.searchsorted(rejected, ends) - np.searchsorted(rejected, starts)
    reasons = np.array([blank.reason for blank in blanks], np.str_)
    slots = np.where((reasons == "closed") & is_intraday, slots * CLOSED, slots)
    widths = np.where((inside > 0) & (reasons == "quarantined"), inside, np.clip(slots, 1, WIDEST))
    every, wide = np.concatenate([ts, starts]), np.concatenate([np.ones(len(ts), np.int64), widths])
    order = np.argsort(every, kind="stable")
    firsts = np.empty(len(every), np.int64)
    firsts[order] = np.cumsum(wide[order]) - wide[order]
    return Axis(firsts[: len(ts)], firsts[len(ts) :], widths, int(wide.sum()))


def place_of(axis: Axis, ts: Int64s, blanks: Sequence[Blank], rejected: Int64s, at: int) -> int | None:
    """Return the place of the bar that starts at ``at``, or of its rejected row; None where nothing stands there."""
    found = int(np.searchsorted(ts, at))
    if found < len(ts) and ts[found] == at:
        return int(axis.bars[found])
    gap = _gap_at(blanks, at)
    if gap is None:
        return None
    first = int(np.searchsorted(rejected, blanks[gap].start))
    step = int(np.searchsorted(rejected, at)) - first if blanks[gap].reason == "quarantined" else 0
    return int(axis.blanks[gap]) + min(step, int(axis.widths[gap]) - 1)


def _gap_at(blanks: Sequence[Blank], at: int) -> int | None:
    low, high = 0, len(blanks)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if blanks[middle].start <= at else (low, middle)
    return low - 1 if low and at < blanks[low - 1].end else None
