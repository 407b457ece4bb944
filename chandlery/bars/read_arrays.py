"""Reading bars of the store within a transaction, of many instruments in one statement.

Each column travels as a few long arrays instead of row by row, which costs both sides half of what it costs to read the
same bars as rows. The whole answer is in memory once more meanwhile, so it is for what one transaction handles. Not
here: reading on a connection of its own, as of a time, and as much as there is (``read``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
from psycopg import sql

from chandlery.bars.read import BarRange, decode_sources
from chandlery.bars.sources import source_names
from chandlery.core.arrow import empty_table, number_array
from chandlery.core.schema import STORED
from chandlery.core.timeframe import Timeframe
from chandlery.database.arrays import Column, read_arrays
from chandlery.database.connections import Database
from chandlery.database.named_queries import query

#: What may be null is sent as a double, of which none that is stored is NaN: so all values of a column are as long.
_NULLABLE = ("volume", "vwap", "trades")


def read_in_transaction(
    connection: psycopg.Connection,
    database: Database,
    timeframe: Timeframe,
    ranges: Sequence[BarRange],
    *,
    columns: Sequence[str] = STORED.names,
) -> pa.Table:
    """Return the present bars of ``ranges`` that are in the store, sorted by (instrument_id, ts).

    Args:
        connection: to ``database``; what its transaction wrote is seen.
        database: where they are.
        timeframe: of the bars.
        ranges: disjoint where they are of the same instrument.
        columns: of ``STORED``, in its order, ``instrument_id`` and ``ts`` among them; no others travel.

    Returns:
        Table of these columns of schema ``STORED``.
    """
    schema = pa.schema([STORED.field(name) for name in columns])
    ordered = sorted(ranges, key=lambda each: (each.instrument_id, each.start))
    sent = [name for name in columns if name != "instrument_id"]
    rows = _fetch(connection, timeframe, ordered, sent) if ordered else []
    if not rows:
        return empty_table(schema)
    places, counts, *arrays = zip(*rows, strict=True)
    owners = np.array([ordered[place - 1].instrument_id for place in places], np.int32)
    values = {"instrument_id": np.repeat(owners, counts), **dict(zip(sent, map(read_arrays, arrays), strict=True))}
    return pa.Table.from_arrays([_to_arrow(database, field, values[field.name]) for field in schema], schema=schema)


def _fetch(
    connection: psycopg.Connection, timeframe: Timeframe, ranges: Sequence[BarRange], columns: Sequence[str]
) -> list[tuple[Any, ...]]:
    """Return the rows of ``read_as_arrays``, in the order of ``ranges``."""
    statement = query(
        "bars/read_as_arrays",
        arrays=sql.SQL(", ").join(
            sql.SQL("array_send(array_agg({}))").format(
                sql.SQL("coalesce({}::float8, 'NaN')").format(sql.Identifier("b", name))
                if name in _NULLABLE
                else sql.Identifier("b", name)
            )
            for name in columns
        ),
        bars=sql.Identifier("market", timeframe.table),
    )
    values = {
        "ids": Column(np.array([each.instrument_id for each in ranges], np.int32)),
        "starts": _times(each.start for each in ranges),
        "ends": _times(each.end for each in ranges),
        "first": min(each.start for each in ranges),
        "last": max(each.end for each in ranges),
    }
    # Planned each time, for these ranges: a plan made for any would look into every partition.
    return sorted(connection.execute(statement, values, prepare=False, binary=True), key=itemgetter(0))


def _times(moments: Iterable[datetime]) -> Column:
    return Column(np.array([moment.astimezone(UTC).replace(tzinfo=None) for moment in moments], "datetime64[us]"))


def _to_arrow(database: Database, field: pa.Field, values: npt.NDArray[Any]) -> pa.Array:
    if field.name == "source":
        ids = number_array(values)
        return decode_sources(ids, source_names(database, ids))
    if field.name in _NULLABLE:
        missing = np.isnan(values)
        if field.type != pa.float64():
            values = np.where(missing, 0, values).astype(field.type.to_pandas_dtype())
        return pa.array(values, mask=missing) if missing.any() else number_array(values)
    return number_array(values).cast(field.type)
