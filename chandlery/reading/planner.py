"""The plan of every read: which bars are in the store, and which files of the lake hold the others.

Each window is answered for by one of the two, whole; which one never shows in the answer. Not here: the reading itself
(``bars``, ``revisions``, ``tail``), symbols, defaults and output formats (``api``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa

from chandlery.bars.read import BarRange
from chandlery.bars.window_states import WindowState, find_windows, read_epoch
from chandlery.core.time_ranges import Range, intersect, merge, subtract
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import midnight, window_end
from chandlery.errors import LakeError, StoreError
from chandlery.instruments.registry import symbols_of
from chandlery.lake.identity import explain_missing
from chandlery.lake.manifest import ManifestEntry, find_entries
from chandlery.tiers.warehouse import Warehouse

#: How often a read is begun anew because windows left the store, or came back, meanwhile.
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class ColdRead:
    """What has to be read of one entry of the lake.

    Attributes:
        entry: the file, and that of earlier values.
        windows: those of its windows that hold any of ``ranges``.
        ranges: the bars to read, within ``windows``.
    """

    entry: ManifestEntry
    windows: Sequence[WindowState]
    ranges: Sequence[BarRange]

    @property
    def start(self) -> datetime:
        """The earliest start of ``ranges``."""
        return min(each.start for each in self.ranges)

    @property
    def end(self) -> datetime:
        """The latest end of ``ranges``, exclusive."""
        return max(each.end for each in self.ranges)


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the bars of some ranges are. Two plans are equal where they read the same.

    Attributes:
        timeframe: of the bars.
        epoch: how many times windows of ``timeframe`` had left the store, or come back, when the plan was made.
        hot: what the store has to answer for.
        cold: what the lake has to answer for.
        symbols: canonical symbol by instrument id, of all instruments where ``cold`` is not empty.
    """

    timeframe: Timeframe
    epoch: int
    hot: Sequence[BarRange]
    cold: Sequence[ColdRead]
    symbols: dict[int, str]


def read_planned(
    warehouse: Warehouse, timeframe: Timeframe, ranges: Sequence[BarRange], read: Callable[[Plan], pa.Table]
) -> pa.Table:
    """Return what ``read`` returns, given a plan that was right from beginning to end of it.

    Args:
        warehouse: where the bars are.
        timeframe: of the bars.
        ranges: one or more.
        read: reads what a plan says. It is called again, with a new plan, where windows moved meanwhile.

    Raises:
        LakeError: a file of the lake is missing or damaged; names it.
        StoreError: windows kept moving.
    """
    plan = make_plan(warehouse, timeframe, ranges)
    for _ in range(_ATTEMPTS):
        try:
            table = read(plan)
        except LakeError as error:
            # A file may have been replaced by its next version, and deleted, since the plan was made.
            present = make_plan(warehouse, timeframe, ranges)
            if present == plan:
                raise LakeError(_explain(warehouse, error)) from error
        else:
            if _is_valid(warehouse, plan):
                return table
            present = make_plan(warehouse, timeframe, ranges)
        plan = present
    raise StoreError("bars keep moving between the store and the lake; try again when maintenance is over")


def _explain(warehouse: Warehouse, error: LakeError) -> str:
    """Return what is wrong with a file, and that the whole lake is another one where that is why."""
    with warehouse.connection() as connection:
        why = explain_missing(connection, warehouse.lake)
    return f"{error}; {why}" if why else str(error)


def make_plan(warehouse: Warehouse, timeframe: Timeframe, ranges: Sequence[BarRange]) -> Plan:
    """Return where the bars of ``ranges``, one or more, are at present."""
    ids = sorted({each.instrument_id for each in ranges})
    first = timeframe.window_of(min(each.start for each in ranges)).start.date()
    last = max(each.end for each in ranges)
    with warehouse.connection() as connection:
        with connection.pipeline():
            epoch = read_epoch(connection, timeframe)
            windows = find_windows(
                connection, timeframe, first, window_end(timeframe, last.date()).date(), ids=ids, cold=True
            )
        if not windows:
            return Plan(timeframe, epoch, list(ranges), [], {})
        entries = find_entries(connection, {window.manifest_id for window in windows if window.manifest_id is not None})
        symbols = symbols_of(connection, ids)
    hot, cold = _divide(timeframe, ranges, windows)
    reads = [ColdRead(entries[manifest_id], list(held), pieces) for manifest_id, (held, pieces) in cold.items()]
    return Plan(timeframe, epoch, hot, reads, symbols)


def _divide(
    timeframe: Timeframe, ranges: Sequence[BarRange], windows: Sequence[WindowState]
) -> tuple[list[BarRange], dict[int, tuple[dict[WindowState, None], list[BarRange]]]]:
    """Return the parts of ``ranges`` outside of cold ``windows``, and, by entry, its windows and the parts inside."""
    by_instrument: dict[int, list[WindowState]] = defaultdict(list)
    for window in windows:
        by_instrument[window.instrument_id].append(window)
    hot: list[BarRange] = []
    held: dict[int, dict[WindowState, None]] = defaultdict(dict)
    inside: dict[int, dict[int, list[Range[datetime]]]] = defaultdict(lambda: defaultdict(list))
    for requested in ranges:
        whole = requested.start, requested.end
        taken: list[Range[datetime]] = []
        for window in by_instrument[requested.instrument_id]:
            if window.manifest_id is None:
                continue
            for part in intersect([(midnight(window.start), window_end(timeframe, window.start))], whole):
                held[window.manifest_id][window] = None
                inside[window.manifest_id][requested.instrument_id].append(part)
                taken.append(part)
        hot += [replace(requested, start=start, end=end) for start, end in subtract([whole], merge(taken))]
    cold = {
        manifest_id: (
            windows_of_entry,
            [BarRange(owner, *part) for owner, parts in inside[manifest_id].items() for part in merge(parts)],
        )
        for manifest_id, windows_of_entry in held.items()
    }
    return hot, cold


def _is_valid(warehouse: Warehouse, plan: Plan) -> bool:
    """Return whether no window left the store, nor came back, since ``plan`` was made."""
    with warehouse.connection() as connection:
        return read_epoch(connection, plan.timeframe) == plan.epoch
