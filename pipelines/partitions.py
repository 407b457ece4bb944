"""The partitions: symbol x month for intraday bars, symbol x year for the rest.

Not here: which symbols there are (a dynamic dimension, see ``assets.reference.register_symbols``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import dagster as dg

from assets.reference import SYMBOLS
from chandlery.config import HistoryConfig
from chandlery.timeframe import Timeframe, Window

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"


def build_partitions(base: Timeframe, history: HistoryConfig) -> dg.MultiPartitionsDefinition:
    """Return the partitions of ``base`` and all that derives from it; the window under way is one of them."""
    first = history.first_day(base)
    if base.window_kind == "month":
        windows = dg.TimeWindowPartitionsDefinition(
            start=f"{first:%Y-%m}", fmt="%Y-%m", cron_schedule="0 0 1 * *", end_offset=1
        )
    else:
        windows = dg.TimeWindowPartitionsDefinition(
            start=f"{first:%Y}", fmt="%Y", cron_schedule="0 0 1 1 *", end_offset=1
        )
    return dg.MultiPartitionsDefinition({SYMBOLS: dg.DynamicPartitionsDefinition(name=SYMBOLS), "window": windows})


def range_tags(first_symbol: str, last_symbol: str, first_window: str, last_window: str) -> dict[str, str]:
    """Return the tags that make a run take a whole rectangle of partitions, ends inclusive."""
    return {RANGE_START: f"{first_symbol}|{first_window}", RANGE_END: f"{last_symbol}|{last_window}"}


def neighbours(symbols: Sequence[str], order: Sequence[str]) -> list[list[str]]:
    """Divide ``symbols`` into groups that stand side by side in ``order``: each can be one side of a rectangle.

    Dagster's ranges go by the order in which symbols were registered, so that a range over strangers would take all who
    stand between them.
    """
    place = {symbol: index for index, symbol in enumerate(order)}
    ordered = sorted(set(symbols), key=place.__getitem__)
    groups = groupby(enumerate(ordered), key=lambda pair: place[pair[1]] - pair[0])
    return [[symbol for _, symbol in group] for _, group in groups]


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Symbols that stand side by side, and windows from first to last.

    Attributes:
        symbols: in Dagster's order.
        first: the earliest window's key.
        last: the latest window's key, inclusive.
    """

    symbols: Sequence[str]
    first: str
    last: str

    @property
    def tags(self) -> dict[str, str]:
        """The tags that make a run take it."""
        return range_tags(self.symbols[0], self.symbols[-1], self.first, self.last)

    def holds(self, symbol: str, window: str) -> bool:
        """Whether a partition is in it."""
        return symbol in self.symbols and self.first <= window <= self.last


def cover(cells: Iterable[tuple[str, Window]], order: Sequence[str]) -> list[Rectangle]:
    """Return few rectangles that together hold all ``cells``, none of which is mostly empty.

    So one run derives a history that began at another time for each symbol, and an old month that was corrected does
    not make a run of all months since.

    Args:
        cells: partitions, as symbol and window.
        order: all symbols, in Dagster's order.
    """
    place = {symbol: index for index, symbol in enumerate(order)}
    growing: list[_Growing] = []
    for symbol, window in sorted(set(cells), key=lambda cell: (place[cell[0]], cell[1])):
        column = window.start.year * 12 + window.start.month if "-" in window.key else window.start.year
        cell = _Growing(place[symbol], place[symbol], column, column, window.key, window.key, 1)
        for index, rectangle in enumerate(growing):
            merged = rectangle.merge(cell)
            if cell.top - rectangle.bottom <= 1 and merged.area <= _MOSTLY * merged.filled:
                growing[index] = merged
                break
        else:
            growing.append(cell)
    return [Rectangle(order[r.top : r.bottom + 1], r.first, r.last) for r in growing]


#: A rectangle may be so many times as large as what it is made for.
_MOSTLY = 2.0


class _Growing(NamedTuple):
    """A rectangle under construction: places of symbols, columns of windows, and how many cells it was made for."""

    top: int
    bottom: int
    left: int
    right: int
    first: str
    last: str
    filled: int

    @property
    def area(self) -> int:
        return (self.bottom - self.top + 1) * (self.right - self.left + 1)

    def merge(self, other: _Growing) -> _Growing:
        return _Growing(
            min(self.top, other.top),
            max(self.bottom, other.bottom),
            min(self.left, other.left),
            max(self.right, other.right),
            min(self.first, other.first),
            max(self.last, other.last),
            self.filled + other.filled,
        )
