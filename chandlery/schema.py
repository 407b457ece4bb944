"""The Arrow shape in which bars travel between providers, the gate, the store and readers.

Not here: the tables they rest in (``sql/``).
"""

from __future__ import annotations

import pyarrow as pa

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

PRICES = ("open", "high", "low", "close")
VALUES = (*PRICES, "volume", "vwap", "trades")


def empty_bars() -> pa.Table:
    """Return a table of no bars."""
    return BARS.empty_table()


def conform(table: pa.Table) -> pa.Table:
    """Return ``table`` with exactly the columns of ``BARS``, in order and cast; one chunk per column.

    Missing ``vwap`` and ``trades`` become null. Raise ``UsageError`` naming a missing column or a failing cast.
    """
    columns = []
    for field in BARS:
        if field.name in table.column_names:
            try:
                column = table.column(field.name)
                if not (field.type == _NAME and pa.types.is_dictionary(column.type) and column.type == _NAME):
                    column = column.cast(field.type)
                columns.append(column.unify_dictionaries().combine_chunks() if field.type == _NAME else column.combine_chunks())
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise UsageError(f"column {field.name!r} cannot be read as {field.type}: {error}") from error
        elif field.name in {"vwap", "trades"}:
            columns.append(pa.nulls(table.num_rows, field.type))
        else:
            raise UsageError(f"column {field.name!r} is missing; bars need {', '.join(BARS.names)}")
    return pa.table(columns, schema=BARS)
