"""Reading bars wherever they are: in the store, in the lake, or some in each.

Not here: where they are (``planner``), and the two ways of reading (``bars.read``, ``lake.read``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa

from chandlery.bars.read import BarRange, read_stored, sort_by_key
from chandlery.bars.read_arrays import read_in_transaction
from chandlery.core.arrow import empty_table, number_array, numpy_of
from chandlery.core.schema import STORED
from chandlery.core.timeframe import Timeframe
from chandlery.core.together import do_together
from chandlery.core.windows import midnight, window_end
from chandlery.database.locks import lock_instruments
from chandlery.reading.lake_files import LakeFiles
from chandlery.reading.planner import ColdRead, Plan, outside, read_planned
from chandlery.reading.stored_windows import cut, find_kept, keep, whole_windows
from chandlery.reading.windows import State, Window, look_at
from chandlery.tiers.warehouse import Warehouse


def read_bars(
    warehouse: Warehouse,
    timeframe: Timeframe,
    ranges: Sequence[BarRange],
    *,
    as_of: datetime | None = None,
    columns: Collection[str] = STORED.names,
    state: State | None = None,
    files: LakeFiles | None = None,
) -> pa.Table:
    """Return the bars of ``ranges``, sorted by (instrument_id, ts); all of them as of one moment.

    Args:
        warehouse: where they are.
        timeframe: of the bars.
        ranges: disjoint where they are of the same instrument.
        as_of: return what was believed at that time, UTC: a row's values of then, and no row that was not yet known.
            The read waits for publications that began before, so that it gives the same answer ever after.
        columns: of ``STORED``; all by default. The fewer, the faster.
        state: of the windows that hold ``ranges``, looked at just now, and with ``as_of`` after ``wait_for_writers``;
            by default, it is looked at.
        files: reads files of the lake, also of windows that are in the store; by default, files are read only of
            windows that left it.

    Returns:
        Table of schema ``STORED``: ``instrument_id``, ``ts``, and those of ``columns``, in its order.

    Raises:
        LakeError: a file of the lake is missing or damaged; names it.
    """
    selected = columns_of(columns)
    if not ranges:
        return empty_table(STORED).select(selected)
    if state is None:
        ids = {each.instrument_id for each in ranges}
        if as_of is not None:
            wait_for_writers(warehouse, timeframe, ids)
        if not timeframe.is_ingested:  # derived bars never leave the store, which answers with one state
            return read_stored(warehouse.database, timeframe, ranges, as_of=as_of, columns=selected)
        state = look_at(warehouse, timeframe, ranges)
    reader = BarReader(warehouse, as_of, selected, files)
    return read_planned(
        warehouse, state, ranges, reader.read, files or LakeFiles(), cold_only=files is None, kept=reader.keep
    )


def read_base(
    connection: psycopg.Connection, warehouse: Warehouse, timeframe: Timeframe, ranges: Sequence[BarRange]
) -> pa.Table:
    """Return the present bars of ``ranges``, sorted by (instrument_id, ts), for a transaction that derives from them.

    Args:
        connection: to the database of ``warehouse``, in that transaction, on which bars of the store are read.
        warehouse: where the bars are.
        timeframe: ``1m`` or ``1d``.
        ranges: disjoint where they are of the same instrument; no more than one transaction derives from.

    Returns:
        Table of schema ``STORED`` without ``known_at``.

    Raises:
        LakeError: a file of the lake is missing or damaged; names it.
    """
    columns = [name for name in STORED.names if name != "known_at"]
    if not ranges:
        return empty_table(STORED).select(columns)

    reader = BarReader(warehouse, None, columns, None, connection)
    state = look_at(warehouse, timeframe, ranges)
    return read_planned(warehouse, state, ranges, reader.read, LakeFiles(), cold_only=True)


def columns_of(columns: Collection[str]) -> list[str]:
    """Return the columns of ``STORED`` that a read of ``columns`` has."""
    return [name for name in STORED.names if name in {"instrument_id", "ts"} or name in columns]


def wait_for_writers(warehouse: Warehouse, timeframe: Timeframe, ids: Collection[int]) -> None:
    """Wait until publications of these instruments that have begun are over, so that they are read, or never will be.

    What is believed at a time that has passed is settled then: whoever publishes later is known later.
    """
    with warehouse.connection() as connection, connection.transaction():
        lock_instruments(connection, timeframe, sorted(ids), shared=True)


@dataclass(frozen=True, slots=True)
class BarReader:
    """Reads the bars of plans. See ``read_bars`` for its attributes."""

    warehouse: Warehouse
    as_of: datetime | None
    columns: Sequence[str]
    files: LakeFiles | None
    #: Reads the store, where that is to be part of a transaction.
    connection: psycopg.Connection | None = None
    #: Windows that were read of the store, by plan; they are worth keeping once the plan turns out to hold.
    pending: list[tuple[Plan, dict[Window, pa.Table]]] = field(default_factory=list)

    def read(self, plan: Plan) -> pa.Table:
        """Return the bars of ``plan``, sorted by (instrument_id, ts); what it reads of store and lake, side by side."""
        works = [partial(self._read_hot, plan)] if plan.hot else []
        works += [partial(self._read_cold, plan, cold) for cold in plan.cold]
        return _unite(do_together(works), self.columns)

    def _read_hot(self, plan: Plan) -> pa.Table:
        cache = None if self.files is None else self.files.cache
        as_of = _unless_settled(self.as_of, plan.state.windows)
        if cache is None or as_of is not None or plan.is_part:
            return self._read_stored(plan, plan.hot, as_of)
        windows = whole_windows(plan)
        kept = find_kept(cache, plan, windows, self.columns)
        spans = [
            BarRange(window.instrument_id, midnight(window.start), window_end(plan.timeframe, window.start))
            for window in kept
        ]
        stored = self._read_stored(plan, outside(plan.hot, spans), None)
        self.pending.append((plan, dict(cut(plan, stored, [window for window in windows if window not in kept]))))
        return _unite([stored, *kept.values()], self.columns)

    def keep(self) -> None:
        """Keep what was last read of the store: it turned out to be of its plan's state."""
        if self.pending and self.files is not None and self.files.cache is not None:
            keep(self.files.cache, *self.pending[-1], self.columns)

    def _read_stored(self, plan: Plan, ranges: Sequence[BarRange], as_of: datetime | None) -> pa.Table:
        database = self.warehouse.database
        if self.connection is not None:
            return read_in_transaction(self.connection, database, plan.timeframe, ranges, columns=self.columns)
        return read_stored(database, plan.timeframe, ranges, as_of=as_of, columns=self.columns, snapshot=plan.snapshot)

    def _read_cold(self, plan: Plan, cold: ColdRead) -> pa.Table:
        from chandlery.lake.read import read_entry  # noqa: PLC0415 - slow to import, and young bars are in the store

        table = read_entry(
            self.warehouse.lake,
            cold.entry,
            cold.windows,
            plan.symbols,
            start=cold.start,
            end=cold.end,
            as_of=_unless_settled(self.as_of, cold.windows),
            columns=self.columns,
            read=None if self.files is None else self.files.read,
        )
        if len({(each.start, each.end) for each in cold.ranges}) == 1:
            return table  # which has no rows of other instruments
        return table.filter(number_array(_are_within(table, cold.ranges)))


def _unless_settled(as_of: datetime | None, windows: Iterable[Window]) -> datetime | None:
    """Return ``as_of``; None where no window changed since then, so that its bars are now what they were."""
    return None if as_of is None or all(window.changed_at <= as_of for window in windows) else as_of


def _are_within(table: pa.Table, ranges: Sequence[BarRange]) -> npt.NDArray[np.bool_]:
    """Return which rows lie in any of ``ranges``."""
    ids, ts = numpy_of(table["instrument_id"]), numpy_of(table["ts"])
    within = np.zeros(len(ids), np.bool_)
    for each in ranges:
        start, end = (np.datetime64(moment.replace(tzinfo=None), "us") for moment in (each.start, each.end))
        within |= (ids == each.instrument_id) & (ts >= start) & (ts < end)
    return within


def _unite(parts: Sequence[pa.Table], columns: Sequence[str]) -> pa.Table:
    """Return the rows of all ``parts``, each of them sorted, sorted by (instrument_id, ts)."""
    tables = [table for table in parts if table.num_rows] or parts[:1]
    if not tables:
        return empty_table(STORED).select(columns)
    if len(tables) == 1:
        return sort_by_key(tables[0])
    ordered = sorted(tables, key=lambda table: (table["instrument_id"][0].as_py(), table["ts"][0].value))
    return sort_by_key(pa.concat_tables(ordered).unify_dictionaries().combine_chunks())
