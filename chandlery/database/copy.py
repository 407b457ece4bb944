"""Binary COPY built with numpy: columns in, PostgreSQL's wire format out.

Not here: which rows to write (``publish``). Format: PostgreSQL documentation, COPY, "Binary Format".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from chandlery.database.arrays import PG_EPOCH_US, Column

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_ROWS_PER_BLOCK = 65_536


def encode(columns: Mapping[str, Column]) -> Iterator[memoryview]:
    """Yield the COPY stream of ``columns``, which all have the same length, in blocks.

    Fields are in the order of ``columns``. Rows that have a NULL follow those that have none, so the order of rows is
    kept only where there are no NULLs or whole columns of them.
    """
    first = next(iter(columns.values()))
    yield memoryview(_HEADER)
    for nulls, rows in _by_nulls(columns, len(first.values)):
        present = {name: column.values for name, column in columns.items() if name not in nulls}
        yield from _encode_alike(present, list(columns), nulls, rows)
    yield memoryview(_TRAILER)


def _by_nulls(
    columns: Mapping[str, Column], count: int
) -> Iterator[tuple[frozenset[str], npt.NDArray[np.intp] | slice]]:
    """Group the rows by which of their columns are NULL: within a group all rows are alike on the wire."""
    sometimes: dict[str, npt.NDArray[np.bool_]] = {}
    always: set[str] = set()
    for name, column in columns.items():
        if column.valid is not None and not column.valid.all():
            if column.valid.any():
                sometimes[name] = column.valid
            else:
                always.add(name)
    if not sometimes:
        yield frozenset(always), slice(0, count)
        return
    pattern = np.zeros(count, np.uint8)
    for bit, valid in enumerate(sometimes.values()):
        pattern |= np.where(valid, 0, 1 << bit).astype(np.uint8)
    for value in np.unique(pattern):
        nulls = always | {name for bit, name in enumerate(sometimes) if value >> bit & 1}
        yield frozenset(nulls), np.flatnonzero(pattern == value)


def _encode_alike(
    present: Mapping[str, npt.NDArray[np.generic]],
    order: list[str],
    nulls: frozenset[str],
    rows: npt.NDArray[np.intp] | slice,
) -> Iterator[memoryview]:
    layout: list[tuple[str, str]] = [("fields", ">i2")]
    for name in order:
        layout.append((f"{name} length", ">i4"))
        if name not in nulls:
            layout.append((name, _wire_type(present[name])))
    picked = {name: values[rows] for name, values in present.items()}
    count = len(next(iter(picked.values())))
    block = np.empty(min(count, _ROWS_PER_BLOCK), np.dtype(layout))
    block["fields"] = len(order)
    for name in order:
        block[f"{name} length"] = -1 if name in nulls else block.dtype[name].itemsize
    for start in range(0, count, _ROWS_PER_BLOCK):
        stop = min(start + _ROWS_PER_BLOCK, count)
        filled = block[: stop - start]
        for name, values in picked.items():
            piece = values[start:stop]
            filled[name] = piece.astype(np.int64) - PG_EPOCH_US if piece.dtype.kind == "M" else piece
        yield memoryview(filled.tobytes())


def _wire_type(values: npt.NDArray[np.generic]) -> str:
    if values.dtype == np.dtype("datetime64[us]"):
        return ">i8"
    if values.dtype.kind in "if":
        return values.dtype.newbyteorder(">").str
    raise TypeError(f"no COPY encoding for {values.dtype}")
