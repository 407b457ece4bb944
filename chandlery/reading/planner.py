"""The plan of every read: which bars the store answers for, and which files of the lake answer for the others.

One question to the database says who the instruments are, which version each window has, and which file holds just
that version. A file is used wherever it is current: of a window that left the store always, of others where that is
faster. Which of the two answers never shows in the answer.

All parts of an answer are of one state of the database, that which some single moment had. Files never change. What
the store answers for is looked at again after it was read: where a publication changed it meanwhile, or windows moved,
it is read anew, from a state that is held.

Not here: the reading itself (``bars``, ``revisions``, ``tail``), symbols, defaults and output formats (``api``).
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

import psycopg

from chandlery.bars.read import BarRange
from chandlery.bars.window_states import read_epoch
from chandlery.core.time_ranges import Range, intersect, merge, subtract
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import midnight, window_end
from chandlery.database.connections import Snapshot
from chandlery.errors import LakeError, StoreError
from chandlery.lake.identity import explain_missing
from chandlery.lake.manifest import ManifestEntry
from chandlery.reading.lake_files import LakeFiles
from chandlery.reading.windows import State, Window, look
from chandlery.tiers.warehouse import Warehouse

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")
#: How often a read is begun anew because windows left the store, or came back, meanwhile.
_ATTEMPTS = 20
#: About so many bars of a day there are for each day.
_SESSIONS_PER_DAY = 0.7
_MINUTES_PER_DAY = 1440


@dataclass(frozen=True, slots=True)
class ColdRead:
    """What has to be read of one entry of the lake.

    Attributes:
        entry: the file, and that of earlier values.
        windows: those of its windows that hold any of ``ranges``.
        ranges: the bars to read, within ``windows``.
    """

    entry: ManifestEntry
    windows: Sequence[Window]
    ranges: Sequence[BarRange]

    @property
    def start(self) -> datetime:
        """The earliest start of ``ranges``."""
        return min(each.start for each in self.ranges)

    @property
    def end(self) -> datetime:
        """The latest end of ``ranges``, exclusive."""
        return max(each.end for each in self.ranges)

    @property
    def is_cold(self) -> bool:
        """Whether the lake alone has any of it."""
        return any(window.cold for window in self.windows)


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the bars of some ranges are read, in one state of the database.

    Attributes:
        state: that state.
        hot: what the store has to answer for.
        cold: what the lake has to answer for.
        snapshot: what holds the state while the store is read; None where it is looked at again afterwards.
        is_part: whether it is of a part of the bars that another plan is of.
    """

    state: State
    hot: Sequence[BarRange]
    cold: Sequence[ColdRead]
    snapshot: Snapshot | None = field(default=None, compare=False)
    is_part: bool = False

    @property
    def timeframe(self) -> Timeframe:
        """Of the bars."""
        return self.state.timeframe

    @property
    def symbols(self) -> dict[int, str]:
        """Canonical symbol by instrument id."""
        return {number: named.symbol for number, named in self.state.instruments.items()}

    def narrowed(self, ranges: Sequence[BarRange]) -> Plan:
        """Return the plan of those of its bars that lie in ``ranges``, each of another instrument."""
        limits = {each.instrument_id: (each.start, each.end) for each in ranges}
        reads = []
        for cold in self.cold:
            if pieces := _within(cold.ranges, limits):
                touched = {piece.instrument_id: piece for piece in pieces}
                windows = [
                    window
                    for window in cold.windows
                    if window.instrument_id in touched
                    and window_end(self.timeframe, window.start) > limits[window.instrument_id][0]
                    and midnight(window.start) < limits[window.instrument_id][1]
                ]
                reads.append(ColdRead(cold.entry, windows, pieces))
        return replace(self, hot=_within(self.hot, limits), cold=reads, is_part=True)

    def connection(self, warehouse: Warehouse) -> AbstractContextManager[psycopg.Connection]:
        """Lend a connection that sees the plan's state where that is held, and the present one otherwise."""
        return nullcontext(self.snapshot.connection) if self.snapshot else warehouse.connection()


def read_planned(
    warehouse: Warehouse,
    state: State,
    ranges: Sequence[BarRange],
    read: Callable[[Plan], _Answer],
    files: LakeFiles,
    *,
    cold_only: bool = False,
    kept: Callable[[], None] = lambda: None,
) -> _Answer:
    """Return what ``read`` returns, given a plan that was right from beginning to end of it.

    Args:
        warehouse: where the bars are.
        state: of the windows that hold ``ranges``, at most moments old.
        ranges: one or more, disjoint where they are of the same instrument.
        read: reads what a plan says. It is called again, with a new plan, where the bars changed or moved meanwhile.
        files: of the lake.
        cold_only: whether files are read of those windows alone that left the store.
        kept: called once it is known that the answer is of one state.

    Raises:
        LakeError: a file of the lake is missing or damaged, and the store does not have its bars; names it.
        StoreError: windows kept moving.
    """
    for attempt in range(_ATTEMPTS):
        with ExitStack() as held:
            snapshot = None
            if attempt:
                snapshot = held.enter_context(warehouse.database.snapshot())
                state = _look_again(snapshot.connection, state, ranges)
            plan = _make_plan(warehouse, state, ranges, files, snapshot, cold_only=cold_only)
            try:
                answer = read(plan)
            except LakeError as error:
                if not cold_only and not all(cold.is_cold for cold in plan.cold):
                    _log.warning("%s; the store answered instead", error)
                    cold_only = True
                    continue
                # A file may have been replaced by its next version, and deleted, since the plan was made.
                with warehouse.connection() as connection:
                    if _look_again(connection, state, ranges)[:4] == state[:4]:
                        raise LakeError(_explain(connection, warehouse, error)) from error
                continue
        if not plan.hot or _is_valid(warehouse, plan, ranges):
            kept()
            return answer
    raise StoreError("bars keep moving between the store and the lake; try again when maintenance is over")


def _is_valid(warehouse: Warehouse, plan: Plan, ranges: Sequence[BarRange]) -> bool:
    """Return whether what the store answered is of the plan's state."""
    with warehouse.connection() as connection:
        if plan.snapshot is not None:  # but a table that was dropped is gone from every state
            return read_epoch(connection, plan.timeframe) == plan.state.epoch
        return _stored(plan, _look_again(connection, plan.state, ranges)) == _stored(plan, plan.state)


def _look_again(connection: psycopg.Connection, state: State, ranges: Sequence[BarRange]) -> State:
    start, end = min(each.start for each in ranges), max(each.end for each in ranges)
    return look(connection, state.timeframe, start, end, ids=state.instruments)


def _stored(plan: Plan, state: State) -> tuple[object, ...]:
    """Return the versions of the windows of which the store answers for any bar, and what else must not change."""
    answered = {(window.instrument_id, window.start) for cold in plan.cold for window in cold.windows}
    versions = [window[:4] for window in state.windows if window[:2] not in answered]
    return (state.epoch, versions)


def _explain(connection: psycopg.Connection, warehouse: Warehouse, error: LakeError) -> str:
    """Return what is wrong with a file, and that the whole lake is another one where that is why."""
    why = explain_missing(connection, warehouse.lake)
    return f"{error}; {why}" if why else str(error)


def _make_plan(
    warehouse: Warehouse,
    state: State,
    ranges: Sequence[BarRange],
    files: LakeFiles,
    snapshot: Snapshot | None,
    *,
    cold_only: bool,
) -> Plan:
    usable = [window for window in state.windows if window.file_digest and (window.cold or not cold_only)]
    if not usable or _are_few(state.timeframe, ranges, usable, files):
        return Plan(state, list(ranges), [], snapshot)
    digests = {window.manifest_id or 0: window.file_digest or b"" for window in usable}
    entries = files.entries(warehouse, digests)
    reads = []
    for entry, windows, pieces in _inside(state.timeframe, ranges, usable, entries):
        cold = ColdRead(entry, windows, pieces)
        if cold.is_cold or _is_worthwhile(warehouse, cold, files):
            reads.append(cold)
    return Plan(state, outside(ranges, [piece for cold in reads for piece in cold.ranges]), reads, snapshot)


def _are_few(timeframe: Timeframe, ranges: Sequence[BarRange], windows: Sequence[Window], files: LakeFiles) -> bool:
    """Return whether no file can be worthwhile, whatever it holds, because the store has these few bars as well."""
    most = sum((each.end - each.start) / timedelta(days=1) for each in ranges)
    most *= _MINUTES_PER_DAY if timeframe.is_intraday else _SESSIONS_PER_DAY
    if most >= files.worthwhile or any(window.cold for window in windows):
        return False
    return not any(files.is_warm(digest) for digest in {window.file_digest or b"" for window in windows})


def _inside(
    timeframe: Timeframe, ranges: Sequence[BarRange], windows: Sequence[Window], entries: Mapping[int, ManifestEntry]
) -> Iterator[tuple[ManifestEntry, list[Window], list[BarRange]]]:
    """Yield, of each entry, its windows that hold any of ``ranges``, and the parts of the ranges inside of them."""
    by_instrument: dict[int, list[Window]] = defaultdict(list)
    for window in windows:
        by_instrument[window.instrument_id].append(window)
    held: dict[tuple[int, bool], list[Window]] = defaultdict(list)
    parts: dict[tuple[int, bool], dict[int, list[Range[datetime]]]] = defaultdict(lambda: defaultdict(list))
    spans = {start: (midnight(start), window_end(timeframe, start)) for start in {window.start for window in windows}}
    for requested in ranges:
        for window in by_instrument[requested.instrument_id]:
            first, after = spans[window.start]
            part = max(first, requested.start), min(after, requested.end)
            if part[0] < part[1]:
                # What left the store has to be read, so that it is never together with what need not be.
                key = window.manifest_id or 0, window.cold
                held[key].append(window)
                parts[key][requested.instrument_id].append(part)
    for (manifest_id, is_cold), members in held.items():
        pieces = parts[manifest_id, is_cold].items()
        yield (
            entries[manifest_id],
            list(dict.fromkeys(members)),
            [BarRange(owner, *part) for owner, owned in pieces for part in merge(owned)],
        )


def _within(pieces: Sequence[BarRange], limits: Mapping[int, Range[datetime]]) -> list[BarRange]:
    """Return the parts of ``pieces`` within the limits of their instruments; of none without limits."""
    return [
        replace(piece, start=start, end=end)
        for piece in pieces
        if piece.instrument_id in limits
        for start, end in intersect([(piece.start, piece.end)], limits[piece.instrument_id])
    ]


def outside(ranges: Sequence[BarRange], pieces: Iterable[BarRange]) -> list[BarRange]:
    """Return the parts of ``ranges`` that lie in none of ``pieces``."""
    taken: dict[int, list[Range[datetime]]] = defaultdict(list)
    for piece in pieces:
        taken[piece.instrument_id].append((piece.start, piece.end))
    return [
        replace(requested, start=start, end=end)
        for requested in ranges
        for start, end in subtract([(requested.start, requested.end)], merge(taken[requested.instrument_id]))
    ]


def _is_worthwhile(warehouse: Warehouse, cold: ColdRead, files: LakeFiles) -> bool:
    """Return whether a file is faster than the store, which has its bars too."""
    if files.is_warm(cold.entry.bars.footer_digest):
        return True
    days = sum((piece.end - piece.start) / timedelta(days=1) for piece in cold.ranges)
    if cold.entry.instrument_id is None:
        bars = days * _SESSIONS_PER_DAY
    else:
        bars = cold.entry.bars.row_count * days / (cold.entry.until - cold.entry.start).days
    return warehouse.lake.is_local and bars >= files.worthwhile
