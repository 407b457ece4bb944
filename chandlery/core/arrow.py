"""Arrow arrays and tables that are made without pandas.

``pyarrow.array``, ``pyarrow.scalar`` and ``to_numpy`` import pandas to see whether they meet something of it, and so
does ``to_pylist`` of times. That costs a short command a third of its time, so what reads a few bars uses these
instead. Not here: which columns bars have (``schema``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.core.text import counted

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: From so many values on, Arrow's own way is quicker, with pandas imported.
_MANY = 20_000


def text_array(values: Iterable[str]) -> pa.Array:
    """Return an array of text; none of it is null."""
    encoded = [value.encode() for value in values]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def number_array(values: npt.NDArray[Any]) -> pa.Array:
    """Return numbers, times or truth values as an array of the type that they have in numpy; numbers are not copied.

    None of them is null; NaN stays NaN.
    """
    if values.dtype == np.bool_:
        kind, content = pa.bool_(), np.packbits(values, bitorder="little")
    else:
        kind, content = pa.from_numpy_dtype(values.dtype), np.ascontiguousarray(values)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(content)])


def array_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return values of Python, None for null, as an array of text, numbers, dates, or aware times in microseconds."""
    if len(values) > _MANY:
        return pa.array(values, kind)
    valid = np.array([value is not None for value in values], np.bool_)
    if pa.types.is_string(kind):
        whole = text_array("" if value is None else value for value in values)
    elif pa.types.is_timestamp(kind):
        micros = [0 if value is None else (value - _EPOCH) // timedelta(microseconds=1) for value in values]
        whole = number_array(np.array(micros, np.int64))
    elif pa.types.is_date32(kind):
        days = [0 if value is None else (value - _EPOCH.date()).days for value in values]
        whole = number_array(np.array(days, np.int32))
    else:
        whole = number_array(np.array([0 if value is None else value for value in values], _dtype(kind)))
    validity = None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(kind, len(values), [validity, *whole.buffers()[1:]])


def empty_table(schema: pa.Schema) -> pa.Table:
    """Return a table of ``schema`` without rows; each column has a chunk."""
    return pa.Table.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)


def numpy_of(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return numbers or times without nulls as ``to_numpy`` does; they are copied only where there are several chunks.

    Times are without a zone, in UTC.
    """
    chunks = [_content(chunk) for chunk in (column.chunks if isinstance(column, pa.ChunkedArray) else [column])]
    return chunks[0] if len(chunks) == 1 else np.concatenate([np.empty(0, _dtype(column.type)), *chunks])


def to_list(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Return the values of a column as ``to_pylist`` does; times, whose unit is the microsecond, in UTC."""
    if pa.types.is_timestamp(column.type):
        return [None if each.value is None else _EPOCH + timedelta(microseconds=each.value) for each in column]
    values: list[Any] = column.to_pylist()
    return values


def to_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return the rows of ``table`` as ``to_pylist`` does; see ``to_list``."""
    columns = [to_list(column) for column in table.columns]
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


def _content(chunk: pa.Array) -> npt.NDArray[Any]:
    if chunk.null_count or chunk.type.bit_width % 8:
        raise ValueError(
            f"a column of {chunk.type} with {counted(chunk.null_count, 'null')} is not numbers or times without nulls"
        )
    _, buffer = chunk.buffers()
    if not len(chunk):
        return np.empty(0, _dtype(chunk.type))
    return np.frombuffer(buffer, _dtype(chunk.type), len(chunk), chunk.offset * chunk.type.bit_width // 8)


def _dtype(kind: pa.DataType) -> np.dtype[Any]:
    if pa.types.is_timestamp(kind):
        return np.dtype(f"datetime64[{kind.unit}]")
    numeric: np.dtype[Any] = np.dtype(kind.to_pandas_dtype())
    return numeric
