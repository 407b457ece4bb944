"""The Arrow schemas of bars: with symbols on the way from providers to the store, with instrument ids on the way back.

Not here: the tables they rest in (``sql/``), and the files of the lake (``lake.parquet``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from chandlery.core.arrow import empty_table, number_array, numpy_of, text_array
from chandlery.errors import UsageError

TS = pa.timestamp("us", tz="UTC")
_NAME = pa.dictionary(pa.int32(), pa.string())

#: One bar per row. ``ts`` is the bar's start. ``volume``, ``vwap`` and ``trades`` may be null; prices may be
#: null only before the gate. ``source`` is provider and feed, as in ``alpaca:sip``.
BARS = pa.schema(
    [
        ("symbol", _NAME),
        ("ts", TS),
        ("open", pa.float64()),
        ("high", pa.float64()),
        ("low", pa.float64()),
        ("close", pa.float64()),
        ("volume", pa.float64()),
        ("vwap", pa.float64()),
        ("trades", pa.int32()),
        ("source", _NAME),
    ]
)

#: A stored bar per row: ``BARS`` with the instrument's id for its symbol; ``known_at`` is when its values were learned.
STORED = pa.schema([pa.field("instrument_id", pa.int32()), *list(BARS)[1:], pa.field("known_at", TS)])
#: An earlier value of a bar, believed from ``known_at`` until ``superseded_at``.
SUPERSEDED = STORED.append(pa.field("superseded_at", TS, nullable=False))

#: The source of a derived bar whose base bars have several.
MIXED = "mixed"
#: Begins the source of a bar of a day that was rolled up from minutes, because no provider gave it; the source of the
#: minutes follows, as in ``derived:1m:alpaca:iex``.
DERIVED = "derived:"

PRICES = ("open", "high", "low", "close")
VALUES = (*PRICES, "volume", "vwap", "trades")


def is_derived(source: str) -> bool:
    """Return whether ``source`` is that of a bar of a day that was rolled up from minutes."""
    return source.startswith(DERIVED)


def empty_bars() -> pa.Table:
    """Return a table of no bars."""
    return empty_table(BARS)


def conform(table: pa.Table) -> pa.Table:
    """Return ``table`` with exactly the columns of ``BARS``, in order and cast; one chunk per column.

    Missing ``vwap`` and ``trades`` become null. Raise ``UsageError`` naming a missing column or a failing cast.
    """
    if table.schema.equals(BARS) and all(column.num_chunks == 1 for column in table.columns):
        return table
    columns = []
    for field in BARS:
        if field.name in table.column_names:
            columns.append(_cast(table.column(field.name), field))
        elif field.name in {"vwap", "trades"}:
            columns.append(pa.nulls(table.num_rows, field.type))
        else:
            raise UsageError(f"column {field.name!r} is missing; bars need {', '.join(BARS.names)}")
    return pa.table(columns, schema=BARS)


def with_symbols(table: pa.Table, symbols: Mapping[int, str]) -> pa.Table:
    """Return ``table`` with a first column ``symbol`` in place of its first column ``instrument_id``.

    Args:
        table: of schema ``STORED`` or ``SUPERSEDED``, or some of its columns.
        symbols: the symbol of each instrument; the column's dictionary has them in this order.
    """
    ids = np.array(list(symbols), np.int32)
    ascending = np.argsort(ids)
    places = np.searchsorted(ids, numpy_of(table["instrument_id"]), sorter=ascending)
    codes = number_array(ascending[places].astype(np.int32))
    names = pa.DictionaryArray.from_arrays(codes, text_array(symbols.values()))
    return table.set_column(0, pa.field("symbol", _NAME), names)


def _cast(column: pa.ChunkedArray, field: pa.Field) -> pa.Array:
    try:
        if column.type != field.type:
            column = column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UsageError(f"column {field.name!r} cannot be read as {field.type}: {error}") from error
    if column.num_chunks == 1:
        return column.chunk(0)  # combining would copy it
    if field.type == _NAME:
        column = column.unify_dictionaries()
    return column.combine_chunks()
