"""The partitions: symbol x month for intraday bars, symbol x year for the rest.

Not here: which symbols there are (a dynamic dimension, see ``assets.reference.register_symbols``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise

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


def rectangles(symbols: Sequence[str], order: Sequence[str], most: int) -> list[list[str]]:
    """Divide ``symbols`` into at most ``most`` groups, one for each rectangle, with as few strangers in them as can be.

    A stranger costs an event, and a run some seconds. So where ``neighbours`` gives more groups than that, those are
    joined between which the fewest strangers stand.

    Args:
        symbols: to divide.
        order: of all symbols in Dagster.
        most: how many groups at most, 1 or more.
    """
    groups = neighbours(symbols, order)
    place = {symbol: index for index, symbol in enumerate(order)}
    gaps = [place[later[0]] - place[earlier[-1]] for earlier, later in pairwise(groups)]
    cuts = set(sorted(range(len(gaps)), key=gaps.__getitem__, reverse=True)[: most - 1])
    joined: list[list[str]] = []
    for index, group in enumerate(groups):
        if index == 0 or index - 1 in cuts:
            joined.append([])
        joined[-1] += group
    return joined


def run_config(
    timeframe: Timeframe, group: Sequence[str], order: Sequence[str], **chosen: object
) -> dict[str, Mapping[str, object]]:
    """Return the configuration of a run that ingests ``group`` of ``rectangles``, and leaves strangers alone.

    Args:
        timeframe: of the bars.
        group: the symbols that the run is for, in Dagster's order.
        order: of all symbols in Dagster.
        chosen: what else the run chooses, as in ``assets.bars.IngestConfig``.
    """
    if order.index(group[-1]) - order.index(group[0]) >= len(group):
        chosen["symbols"] = list(group)
    return {"ops": {timeframe.table: {"config": chosen}}} if chosen else {}
