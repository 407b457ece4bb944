"""The newest bar of each of many instruments, in one statement.

Not here: the last bars of a few (``tail``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date

import numpy as np
import pyarrow as pa

from chandlery.bars.read import BarRange, read_newest, sort_by_key
from chandlery.bars.window_states import read_epoch
from chandlery.core.arrow import empty_table, number_array, numpy_of
from chandlery.core.schema import STORED
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import EVER
from chandlery.database.arrays import Column
from chandlery.database.named_queries import query
from chandlery.reading.tail import read_tail
from chandlery.tiers.warehouse import Warehouse


def read_latest(
    warehouse: Warehouse, timeframe: Timeframe, ids: Sequence[int], *, columns: Collection[str] = STORED.names
) -> pa.Table:
    """Return the newest bar of each instrument that has any, sorted by instrument.

    Windows that left the store are looked into where the store has nothing newer.

    Args:
        warehouse: where they are.
        timeframe: of the bars.
        ids: whose.
        columns: of ``STORED``.

    Returns:
        Table of schema ``STORED``: ``instrument_id``, ``ts``, and those of ``columns``, in its order.
    """
    names = [name for name in STORED.names if name in {"instrument_id", "ts"} or name in columns]
    if not ids:
        return empty_table(STORED).select(names)
    _, before = _cold_windows(warehouse, timeframe, ids)
    while True:
        stored = read_newest(warehouse.database, timeframe, ids, names)
        cold, after = _cold_windows(warehouse, timeframe, ids)
        if after == before:  # otherwise windows left the store, or came back, in between
            break
        before = after
    older = _behind(stored, cold)
    if not older:
        return stored
    kept = ~np.isin(numpy_of(stored["instrument_id"]), older)
    archived = read_tail(warehouse, timeframe, [BarRange(each, *EVER) for each in older], 1, columns=names)
    tables = [stored.filter(number_array(kept)), archived]
    return sort_by_key(pa.concat_tables(tables).unify_dictionaries().combine_chunks())


def _cold_windows(warehouse: Warehouse, timeframe: Timeframe, ids: Sequence[int]) -> tuple[dict[int, date], int]:
    """Return the start of the newest window of each instrument that left the store, and how often any did."""
    if not timeframe.is_ingested:  # derived bars never leave the store
        return {}, 0
    values = {"timeframe": timeframe.value, "ids": Column(np.array(ids, np.int32))}
    with warehouse.connection() as connection, connection.pipeline():
        cold = connection.execute(query("reading/newest_cold_windows"), values)
        epoch = read_epoch(connection, timeframe)
        return dict(cold.fetchall()), epoch


def _behind(stored: pa.Table, cold: dict[int, date]) -> list[int]:
    """Return the instruments whose newest bar in the store is not after their newest window that left it."""
    if not cold:
        return []
    newest = dict(zip(numpy_of(stored["instrument_id"]).tolist(), numpy_of(stored["ts"]), strict=True))
    never = np.datetime64("0001-01-01")
    return sorted(owner for owner, start in cold.items() if newest.get(owner, never) < np.datetime64(start))
