"""Columns of values as PostgreSQL's binary arrays, in which they travel to the server and back within a statement.

The driver turns lists into arrays value by value, and back, which takes longer than the statement does. Not here:
batches large enough for COPY (``copy``), and a few values, for which text does (``array_text``). Format: PostgreSQL
source, ``array_send``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg.adapt import Dumper, PyFormat
from psycopg.pq import Format

#: 2000-01-01, PostgreSQL's epoch, in µs since 1970-01-01.
PG_EPOCH_US = 946_684_800_000_000
#: PostgreSQL's numbers of the array and of its element, and a field of it on the wire, by type of the values.
_TYPES = {
    np.dtype(values): (array, element, np.dtype([("length", ">i4"), ("value", wire)]))
    for values, array, element, wire in (
        (np.int16, 1005, 21, ">i2"),
        (np.int32, 1007, 23, ">i4"),
        (np.int64, 1016, 20, ">i8"),
        (np.float64, 1022, 701, ">f8"),
        ("datetime64[us]", 1185, 1184, ">i8"),
    )
}
#: Type of the values and a field of them on the wire, by PostgreSQL's number of the element.
_FIELDS = {
    element: (np.dtype(values), np.dtype([("length", ">i4"), ("value", wire)]))
    for element, values, wire in (
        (16, np.bool_, "u1"),
        (21, np.int16, ">i2"),
        (23, np.int32, ">i4"),
        (701, np.float64, ">f8"),
        (1184, "datetime64[us]", ">i8"),
    )
}
#: Octets before the first field of a one-dimensional array that is not empty.
_HEAD = 20


@dataclass(frozen=True, slots=True)
class Column:
    """A column for COPY, or an array as a parameter of a statement.

    Attributes:
        values: one-dimensional array; ``datetime64[us]`` becomes ``timestamptz``.
        valid: False where the value is NULL; None where none is.
    """

    values: npt.NDArray[np.generic]
    valid: npt.NDArray[np.bool_] | None = None


class ColumnDumper(Dumper):
    """Writes a one-dimensional ``Column`` as an array of the type of its values."""

    format = Format.BINARY

    def get_key(self, obj: Any, format: PyFormat) -> Any:  # noqa: A002, ANN401, ARG002 - psycopg's signature
        """Tell apart columns of different types."""
        return (self.cls, obj.values.dtype)

    def upgrade(self, obj: Any, format: PyFormat) -> Dumper:  # noqa: A002, ANN401, ARG002 - psycopg's signature
        """Return the dumper of columns of the type of ``obj``."""
        dumper = ColumnDumper(self.cls)
        dumper.oid = _TYPES[obj.values.dtype][0]
        return dumper

    def dump(self, obj: Column) -> bytes:
        """Return the array on the wire."""
        _, element, field = _TYPES[obj.values.dtype]
        fields = np.empty(len(obj.values), field)
        fields["length"] = field.itemsize - 4
        if obj.values.dtype.kind == "M":
            fields["value"] = obj.values.astype(np.int64) - PG_EPOCH_US
        else:
            fields["value"] = obj.values
        nulls = obj.valid is not None and not obj.valid.all()
        if not len(fields):
            return struct.pack(">iii", 0, 0, element)
        head = struct.pack(">iiiii", 1, nulls, element, len(fields), 1)
        return head + (_without_nulls(fields, obj.valid) if nulls and obj.valid is not None else fields.tobytes())


def _without_nulls(fields: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> bytes:
    """Return ``fields`` where a NULL is a length of -1 and nothing after it."""
    fields["length"][~valid] = -1
    octets = fields.view(np.uint8).reshape(len(fields), -1)
    kept = np.ones(octets.shape, np.bool_)
    kept[~valid, 4:] = False
    return octets[kept].tobytes()


def read_array(data: bytes) -> npt.NDArray[Any]:
    """Return what ``array_send`` made of a one-dimensional array without nulls; see ``read_arrays``."""
    return read_arrays([data])


def read_arrays(parts: Sequence[bytes]) -> npt.NDArray[Any]:
    """Return what ``array_send`` made of arrays of one type, one after the other.

    Args:
        parts: one or more; one-dimensional, of bool, int2, int4, float8 or timestamptz, without nulls.
    """
    values, field = _FIELDS[struct.unpack_from(">iii", parts[0])[2]]
    data = b"".join([part[_HEAD:] for part in parts])  # of an empty array, the head is shorter, and all there is
    sent = np.frombuffer(data, field)["value"]
    return (sent.astype(np.int64) + PG_EPOCH_US).view(values) if values.kind == "M" else sent.astype(values)


psycopg.adapters.register_dumper(Column, ColumnDumper)
