"""Digests of the values in a table, whatever the form in which Arrow holds them.

There are two, because each is stored and compared with later ones: ``ops.manifest`` has digests of files, whose rows
have an order, ``ops.quarantine`` those of rejected rows, which may come in any order. Not here: the digest of a
file's footer (``lake.parquet``).
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def digest(table: pa.Table) -> bytes:
    """Return the SHA-256 digest over the names, types and values of ``table``, in the order of its rows and columns.

    It depends on every bit of every number, on which values are null and on the text of names; not on chunks, on the
    order of dictionaries, nor on whether text has one.
    """
    hasher = hashlib.sha256(b"%d" % table.num_rows)
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        hasher.update(f"\n{name} {kind}\n".encode())
        array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        if pa.types.is_string(kind):
            array = _add_names(hasher, array)
        if array.null_count:
            valid = array.is_valid().to_numpy(zero_copy_only=False)
            hasher.update(np.packbits(valid).tobytes())
            hasher.update(np.where(valid, bits_of(array), 0).tobytes())
        else:
            hasher.update(np.ascontiguousarray(bits_of(array)).data)
    return hasher.digest()


def digest_in_any_order(table: pa.Table) -> bytes:
    """Return the SHA-256 digest over the values of ``table``, the same for any order of its rows.

    Neither names nor types count, so that it is for tables of one schema. A row may occur more than once.
    """
    types = {field.name: pa.string() if pa.types.is_dictionary(field.type) else field.type for field in table.schema}
    # By every column, because a key may occur twice.
    table = table.cast(pa.schema(types)).sort_by([(name, "ascending") for name in types])
    hasher = hashlib.sha256()
    for name in table.column_names:
        column = table[name].combine_chunks()
        if pa.types.is_string(column.type):
            hasher.update("\0".join(map(str, column.to_pylist())).encode())
            continue
        hasher.update(column.is_valid().to_numpy(zero_copy_only=False).tobytes())
        fill = 0 if not pa.types.is_timestamp(column.type) else pa.scalar(0, column.type)
        hasher.update(np.ascontiguousarray(column.fill_null(fill).to_numpy(zero_copy_only=False)).tobytes())
    return hasher.digest()


def bits_of(array: pa.Array) -> npt.NDArray[np.signedinteger]:
    """Return the bits of each value, without copying: ``array`` is of numbers or times of 32 or 64 bits.

    Where it is null, they may be anything.
    """
    kind: np.dtype[np.signedinteger] = np.dtype(f"<i{array.type.bit_width // 8}")
    values = array.buffers()[1]
    if values is None:
        return np.zeros(len(array), kind)
    return np.frombuffer(values, kind, len(array), array.offset * kind.itemsize)


def _add_names(hasher: hashlib._Hash, array: pa.Array) -> pa.Array:
    """Add the distinct names in ``array``, sorted, to the digest; return the place of each row's among them."""
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    names = array.dictionary.to_pylist()
    codes = array.indices.cast(pa.int32())
    used = {names[code] for code in codes.unique().to_pylist() if code is not None}
    places = {name: place for place, name in enumerate(sorted(used))}
    hasher.update("".join(f"{len(name)}:{name}" for name in places).encode())
    return pa.array([places.get(name) for name in names], pa.int32()).take(codes)
