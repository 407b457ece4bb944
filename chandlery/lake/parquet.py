"""Bars to and from Parquet: small, fast, every bit as it was, in types that any reader of Parquet knows.

Prices are stored as decimals (``decimals``). ``docs/decisions/0005-lake-encoding.md`` has what was measured, and what
to write in DuckDB, Polars and pandas.

Every byte is vouched for before it is decoded, because over a damaged footer pyarrow may abort the process: the footer
by a digest before it, which other readers skip, the row groups by digests in it. Pages also have the format's
checksums.
Not here: paths and folders (``layout``, ``files``), what should be there (``manifest``).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chandlery.core.calendars import microseconds
from chandlery.core.schema import BARS, TS
from chandlery.core.text import counted
from chandlery.errors import LakeError, UsageError
from chandlery.lake.decimals import decode, encode

#: A file of bars, which names their symbols so that others can read it.
BAR_FILE = BARS.append(pa.field("known_at", TS))
#: A file of earlier values of bars, and until when they were believed.
REVISION_FILE = BAR_FILE.append(pa.field("superseded_at", TS, nullable=False))

#: A row group has at most so many rows, unless a writer says otherwise.
ROWS_PER_GROUP = 65_536
_FORMAT_KEY, _FORMAT = b"chandlery.format", b"1"
_DIGESTS_KEY = b"chandlery.sha256"  # of the row groups, in hexadecimal
_NAMES = ["symbol", "source"]
_SORTED_BY = ["symbol", "ts"]
_TAIL = 65_536  # read at once from the end: the footer, and small files whole
_END = 8  # length of the footer, and the magic
_MAGIC = b"PAR1"
_SEAL = 32  # length of the digest before the footer


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
    schema = _schema_of(table.schema.names)
    if schema is None or table.schema.types != schema.types:
        raise UsageError(f"a file of bars has the columns\n{BAR_FILE}\ngiven:\n{table.schema}")
    body = _to_parquet(pa.table([encode(array) for array in _whole(table)], names=schema.names), rows_per_group)
    start = _footer_start(body)
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
    limits = tuple(None if moment is None else microseconds(moment) for moment in (start, end))
    with _explained():
        content = _Content(source)
        metadata, end_of_rows = _read_footer(content, footer_digest)
        schema = _schema_of(metadata.schema.names)
        if schema is None:
            raise LakeError(f"it has other columns than a file of bars: {', '.join(metadata.schema.names)}")
        groups = [n for n in range(metadata.num_row_groups) if _may_hold(metadata.row_group(n), symbols, *limits)]
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])
        if not groups:
            return schema.empty_table()
        _read_groups(content, metadata, end_of_rows, groups)
        file = pq.ParquetFile(pa.BufferReader(content.bytes), metadata=metadata, read_dictionary=_NAMES)
        stored = file.read_row_groups(groups, columns=schema.names, use_threads=False)
        decoded = [pa.chunked_array([decode(chunk) for chunk in column.chunks]) for column in stored.columns]
        return _pick(pa.table(decoded, schema=schema).unify_dictionaries(), symbols, *limits)


def _schema_of(names: list[str]) -> pa.Schema | None:
    return next((schema for schema in (BAR_FILE, REVISION_FILE) if names == schema.names), None)


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
    writer.add_key_value_metadata({_FORMAT_KEY: _FORMAT, _DIGESTS_KEY: " ".join(digests)})
    writer.close()
    return sink.getbuffer()


def _repeats(array: pa.Array) -> bool:
    """Whether a dictionary suits: names, and times that come often."""
    if pa.types.is_timestamp(array.type):
        return bool(4 * pc.count_distinct(array).as_py() <= len(array))
    return bool(pa.types.is_dictionary(array.type))


class _Content:
    """The bytes of a file: those that have been read in their place, zeros elsewhere, which take no memory."""

    def __init__(self, source: pa.NativeFile | BinaryIO) -> None:
        self._source = source
        self.size: int = source.seek(0, io.SEEK_END)
        self.bytes: npt.NDArray[np.uint8] = np.zeros(self.size, np.uint8)
        self._known = self.size  # everything from here on has been read

    def read_end(self, start: int) -> None:
        """Read everything from ``start`` on."""
        self.read(start, self.size)
        self._known = min(start, self._known)

    def read(self, start: int, stop: int) -> None:
        """Read ``[start, stop)``."""
        stop = min(stop, self._known)
        if start < stop:
            self._source.seek(start)
        while start < stop:
            count = self._source.readinto(self.bytes[start:stop])  # type: ignore[union-attr]
            if not count:
                raise LakeError(f"it is cut short: no more than {start} of {self.size} bytes can be read")
            start += count

    def digest(self, start: int, stop: int) -> bytes:
        """Return the SHA-256 digest of ``[start, stop)``."""
        return hashlib.sha256(self.bytes[start:stop].data).digest()


def _read_footer(content: _Content, expected: bytes | None) -> tuple[pq.FileMetaData, int]:
    """Return the metadata and where the row groups end."""
    content.read_end(max(0, content.size - _TAIL))
    start = _footer_start(content.bytes.data)
    seal = start - _SEAL
    content.read_end(max(0, seal))
    digest = content.digest(start, content.size)
    if seal < 0 or content.bytes[seal:start].tobytes() != digest:
        raise LakeError("its footer is damaged, or it was not written by Chandlery")
    if expected not in {None, digest}:
        raise LakeError("it is another file than the one that was written: its footer differs")
    metadata = pq.read_metadata(pa.BufferReader(content.bytes[start:]))
    if metadata.metadata.get(_FORMAT_KEY) != _FORMAT:
        raise LakeError("it was written by a later version of Chandlery")
    return metadata, seal


def _footer_start(content: memoryview) -> int:
    start = len(content) - _END - int.from_bytes(content[-_END:-4], "little")
    if start < 0 or content[-4:] != _MAGIC:
        what = counted(len(content), "byte ends", "bytes end")
        raise LakeError(f"it is cut short or not a Parquet file: its {what} without a footer")
    return start


def _may_hold(group: pq.RowGroupMetaData, symbols: Sequence[str] | None, start: int | None, end: int | None) -> bool:
    """Whether a row group may have rows of ``symbols`` in ``[start, end)``, in µs, by its statistics."""
    names, moments = (group.column(place).statistics for place in (0, 1))
    if symbols is not None and _has_bounds(names) and not any(names.min <= name <= names.max for name in symbols):
        return False
    if not _has_bounds(moments):
        return True
    return (start is None or moments.max_raw >= start) and (end is None or moments.min_raw < end)


def _has_bounds(statistics: pq.Statistics | None) -> bool:
    return bool(statistics is not None and statistics.has_min_max)


def _read_groups(content: _Content, metadata: pq.FileMetaData, end: int, groups: list[int]) -> None:
    """Read these row groups and see that they are as they were written."""
    digests = metadata.metadata[_DIGESTS_KEY].decode().split()
    starts = [0, *(_first_byte(metadata.row_group(n)) for n in range(1, metadata.num_row_groups)), end]
    for first, last in _runs(groups):
        content.read(starts[first], starts[last + 1])
    for n in groups:
        if content.digest(starts[n], starts[n + 1]).hex() != digests[n]:
            place = f"bytes {starts[n]} to {starts[n + 1]}"
            raise LakeError(f"row group {n + 1} of {metadata.num_row_groups} ({place}) is not what was written")


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and last of each run of consecutive numbers: each is read at once."""
    first = numbers[0]
    for number, following in zip(numbers, [*numbers[1:], None], strict=True):
        if following != number + 1:
            yield first, number
            first = following or 0


def _first_byte(group: pq.RowGroupMetaData) -> int:
    column = group.column(0)
    return int(column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset)


def _pick(table: pa.Table, symbols: Sequence[str] | None, start: int | None, end: int | None) -> pa.Table:
    """Return the rows of ``symbols`` in ``[start, end)``, in µs; without copying them if they are together."""
    picked = np.ones(table.num_rows, np.bool_)
    if symbols is not None:
        names = np.isin(table["symbol"].chunk(0).dictionary.to_pylist(), list(symbols))
        picked &= names[np.concatenate([chunk.indices.to_numpy() for chunk in table["symbol"].chunks])]
    moments = table["ts"].to_numpy().view(np.int64)
    if start is not None:
        picked &= moments >= start
    if end is not None:
        picked &= moments < end
    count = int(picked.sum())
    first = int(picked.argmax())
    if picked[first : first + count].all():
        return table.slice(first, count)
    return table.filter(pa.array(picked))


@contextmanager
def _explained() -> Iterator[None]:
    """Turn the errors of the file, or about what is in it, into one that says so."""
    try:
        yield
    except (OSError, pa.ArrowException, MemoryError) as error:
        raise LakeError(f"it cannot be read: {error}") from error
