"""The partitions: symbol x month for intraday bars, symbol x year for the rest.

Not here: which symbols there are (a dynamic dimension, see ``assets.reference.register_symbols``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import dagster as dg

from assets.reference import SYMBOLS
from chandlery.config.universe import HistoryConfig
from chandlery.core.timeframe import Timeframe

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
