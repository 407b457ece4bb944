"""Bars to and from Parquet: small, fast, every bit as it was, in types that any reader of Parquet knows.

Prices are stored as decimals (``decimals``). ``docs/decisions/0005-lake-encoding.md`` has what was measured, and what
to write in DuckDB, Polars and pandas.

Pages have the format's checksums; the digests that vouch for every byte are said in ``bar_file``. Not here: paths and
folders (``layout``, ``files``), what should be there (``manifest``).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from datetime import datetime
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chandlery.errors import UsageError
from chandlery.lake.bar_file import (
    BAR_FILE,
    DIGESTS_KEY,
    FORMAT,
    FORMAT_KEY,
    BarFile,
    explained,
    footer_start,
    schema_of,
)
from chandlery.lake.decimals import encode

_SORTED_BY = ["symbol", "ts"]
#: A row group has at most so many rows, unless a writer says otherwise. A stock's year of minutes is in two of them, so
#: that two threads decode it.
ROWS_PER_GROUP = 65_536
#: Of a file that holds many instruments, a few of which are usually read.
SHARED_ROWS_PER_GROUP = 16_384


def write(table: pa.Table, sink: BinaryIO | pa.NativeFile, *, rows_per_group: int = ROWS_PER_GROUP) -> bytes:
    """Write ``table`` to ``sink`` as a Parquet file and return the SHA-256 digest of its footer.

    Args:
        table: of schema ``BAR_FILE`` or ``REVISION_FILE``; sorted by (symbol, ts) for other readers' sake and so that
            ``read`` has little to look at.
        sink: open for writing, at the start of the file; written to once.
        rows_per_group: at most so many rows in each row group.

    Returns:
        The digest of everything after the last row group: metadata, its length and the magic.

    Raises:
        UsageError: ``table`` has other columns.
    """
    schema = schema_of(table.schema.names)
    if schema is None or table.schema.types != schema.types:
        raise UsageError(f"a file of bars has the columns\n{BAR_FILE}\ngiven:\n{table.schema}")
    body = _to_parquet(pa.table([encode(array) for array in _whole(table)], names=schema.names), rows_per_group)
    start = footer_start(body)
    digest = hashlib.sha256(body[start:]).digest()
    sink.write(b"".join((body[:start], digest, body[start:])))
    return digest


def read(
    source: pa.NativeFile | BinaryIO,
    *,
    footer_digest: bytes | None = None,
    symbols: Sequence[str] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Return the rows of a file in the order in which they were written, every bit as it was.

    Args:
        source: open for reading anywhere in it.
        footer_digest: what ``write`` returned; without it, any whole file will do, such as an older one.
        symbols: only rows of these; all by default.
        start: only rows with ``ts`` from here on, inclusive, UTC.
        end: only rows with ``ts`` before, exclusive, UTC.
        columns: only these, in the file's order, ``ts`` among them, and ``symbol`` where ``symbols`` are given; all by
            default.

    Returns:
        Table of schema ``BAR_FILE`` or ``REVISION_FILE``, or these columns of it. Only the row groups that may hold
        requested rows are read.

    Raises:
        LakeError: the file is damaged, cut short or not one of ours. The text says what is wrong with it.
    """
    with explained():
        return BarFile(source, footer_digest).select(symbols, start, end, columns)


def _whole(table: pa.Table) -> list[pa.Array]:
    """Return the columns, each in one piece; those in one already are not copied."""
    if any(column.num_chunks != 1 for column in table.columns):
        table = table.unify_dictionaries().combine_chunks()
    return [column.chunk(0) if column.num_chunks else pa.array([], column.type) for column in table.columns]


def _to_parquet(stored: pa.Table, rows_per_group: int) -> memoryview:
    groups = max(1, -(-stored.num_rows // rows_per_group))
    rows = max(1, -(-stored.num_rows // groups))  # as many in each, rather than a small one at the end
    repeating = [name for name in stored.column_names if _repeats(stored[name].chunk(0))]
    encodings = {
        field.name: "PLAIN" if pa.types.is_floating(field.type) else "DELTA_BINARY_PACKED"
        for field in stored.schema
        if field.name not in repeating
    }
    sink = io.BytesIO()
    writer = pq.ParquetWriter(
        sink,
        stored.schema,
        compression="zstd",
        compression_level=3,
        use_dictionary=repeating,
        column_encoding=encodings,
        store_decimal_as_integer=True,
        store_schema=False,
        write_statistics=_SORTED_BY,
        write_page_checksum=True,
        max_rows_per_page=rows,
    )
    digests: list[str] = []
    written = 0
    for begin in range(0, stored.num_rows, rows):
        writer.write_table(stored.slice(begin, rows), row_group_size=rows)
        digests.append(hashlib.sha256(sink.getbuffer()[written:]).hexdigest())
        written = sink.tell()
    writer.add_key_value_metadata({FORMAT_KEY: FORMAT, DIGESTS_KEY: " ".join(digests)})
    writer.close()
    return sink.getbuffer()


def _repeats(array: pa.Array) -> bool:
    """Whether a dictionary suits: names, and times that come often."""
    if pa.types.is_timestamp(array.type):
        return bool(4 * pc.count_distinct(array).as_py() <= len(array))
    return bool(pa.types.is_dictionary(array.type))
