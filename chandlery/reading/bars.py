"""Reading bars wherever they are: in the store, in the lake, or some in each.

Not here: where they are (``planner``), and the two ways of reading (``bars.read``, ``lake.read``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa

from chandlery.bars.read import BarRange, read_stored, sort_by_key
from chandlery.bars.read_arrays import read_in_transaction
from chandlery.core.arrow import empty_table, number_array, numpy_of
from chandlery.core.schema import STORED
from chandlery.core.timeframe import Timeframe
from chandlery.database.locks import lock_instruments
from chandlery.reading.planner import ColdRead, Plan, read_planned
from chandlery.tiers.warehouse import Warehouse


def read_bars(
    warehouse: Warehouse,
    timeframe: Timeframe,
    ranges: Sequence[BarRange],
    *,
    as_of: datetime | None = None,
    columns: Collection[str] = STORED.names,
) -> pa.Table:
    """Return the bars of ``ranges``, sorted by (instrument_id, ts).

    Args:
        warehouse: where they are.
        timeframe: of the bars.
        ranges: disjoint where they are of the same instrument.
        as_of: return what was believed at that time, UTC: a row's values of then, and no row that was not yet known.
            The read waits for publications that began before, so that it gives the same answer ever after.
        columns: of ``STORED``; all by default. The fewer, the faster.

    Returns:
        Table of schema ``STORED``: ``instrument_id``, ``ts``, and those of ``columns``, in its order.

    Raises:
        LakeError: a file of the lake is missing or damaged; names it.
    """
    selected = [name for name in STORED.names if name in {"instrument_id", "ts"} or name in columns]
    if not ranges:
        return empty_table(STORED).select(selected)
    if as_of is not None:
        with warehouse.connection() as connection, connection.transaction():
            lock_instruments(connection, timeframe, sorted({each.instrument_id for each in ranges}), shared=True)
    if not timeframe.is_ingested:  # derived bars never leave the store
        return read_stored(warehouse.database, timeframe, ranges, as_of=as_of, columns=selected)

    def read(plan: Plan) -> pa.Table:
        stored = read_stored(warehouse.database, timeframe, plan.hot, as_of=as_of, columns=selected)
        return _with_cold(warehouse, plan, stored, as_of, selected)

    return read_planned(warehouse, timeframe, ranges, read)


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

    def read(plan: Plan) -> pa.Table:
        stored = read_in_transaction(connection, warehouse.database, timeframe, plan.hot, columns=columns)
        return _with_cold(warehouse, plan, stored, None, columns)

    return read_planned(warehouse, timeframe, ranges, read)


def _with_cold(
    warehouse: Warehouse, plan: Plan, stored: pa.Table, as_of: datetime | None, columns: Sequence[str]
) -> pa.Table:
    """Return ``stored``, the bars of the store, and those that the plan has to read from the lake."""
    if not plan.cold:
        return stored
    archived = [_read_cold(warehouse, plan, cold, as_of, columns) for cold in plan.cold]
    return _unite([table for table in (stored, *archived) if table.num_rows], columns)


def _read_cold(
    warehouse: Warehouse, plan: Plan, cold: ColdRead, as_of: datetime | None, columns: Sequence[str]
) -> pa.Table:
    from chandlery.lake.read import read_entry  # noqa: PLC0415 - slow to import, and young bars are in the store

    table = read_entry(
        warehouse.lake,
        cold.entry,
        cold.windows,
        plan.symbols,
        start=cold.start,
        end=cold.end,
        as_of=as_of,
        columns=columns,
    )
    if len({(each.start, each.end) for each in cold.ranges}) == 1:
        return table  # which has no rows of other instruments
    return table.filter(number_array(_are_within(table, cold.ranges)))


def _are_within(table: pa.Table, ranges: Sequence[BarRange]) -> npt.NDArray[np.bool_]:
    """Return which rows lie in any of ``ranges``."""
    ids, ts = numpy_of(table["instrument_id"]), numpy_of(table["ts"])
    within = np.zeros(len(ids), np.bool_)
    for each in ranges:
        start, end = (np.datetime64(moment.replace(tzinfo=None), "us") for moment in (each.start, each.end))
        within |= (ids == each.instrument_id) & (ts >= start) & (ts < end)
    return within


def _unite(tables: Sequence[pa.Table], columns: Sequence[str]) -> pa.Table:
    """Return the rows of all ``tables``, none of them empty, sorted by (instrument_id, ts)."""
    if not tables:
        return empty_table(STORED).select(columns)
    if len(tables) == 1:
        return sort_by_key(tables[0])
    ordered = sorted(tables, key=lambda table: (table["instrument_id"][0].as_py(), table["ts"][0].value))
    return sort_by_key(pa.concat_tables(ordered).unify_dictionaries().combine_chunks())
