"""Reading a file of bars: its footer, and then any of its row groups.

Every byte is vouched for before it is decoded, because over a damaged footer pyarrow may abort the process: the footer
by a digest before it, which other readers skip, the row groups by digests in it. Not here: writing (``parquet``), and
where files are (``read``).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from chandlery.core.arrow import empty_table, number_array, numpy_of
from chandlery.core.calendars import microseconds
from chandlery.core.schema import BARS, TS
from chandlery.core.text import counted
from chandlery.core.together import do_together
from chandlery.errors import LakeError
from chandlery.lake.decimals import decode

#: A file of bars, which names their symbols so that others can read it.
BAR_FILE = BARS.append(pa.field("known_at", TS))
#: A file of earlier values of bars, and until when they were believed.
REVISION_FILE = BAR_FILE.append(pa.field("superseded_at", TS, nullable=False))

FORMAT_KEY, FORMAT = b"chandlery.format", b"1"
DIGESTS_KEY = b"chandlery.sha256"  # of the row groups, in hexadecimal
NAMES = ["symbol", "source"]
_TAIL = 65_536  # read at once from the end: the footer, and small files whole
_END = 8  # length of the footer, and the magic
_MAGIC = b"PAR1"
_SEAL = 32  # length of the digest before the footer


def join(tables: Sequence[pa.Table], schema: pa.Schema, columns: Sequence[str], selection: Selection) -> pa.Table:
    """Return the selected rows of row groups as one table of ``columns`` of ``schema``."""
    if not tables:
        return empty_table(pa.schema([schema.field(name) for name in columns]))
    return selection.of(tables[0] if len(tables) == 1 else pa.concat_tables(tables).unify_dictionaries())


def schema_of(names: list[str]) -> pa.Schema | None:
    """Return the schema of a file with these columns; None where it is no file of bars."""
    return next((schema for schema in (BAR_FILE, REVISION_FILE) if names == schema.names), None)


@dataclass(frozen=True, slots=True)
class RowGroup:
    """What a row group holds, by the statistics in the footer.

    Attributes:
        rows: how many.
        symbols: the first and the last symbol in it; None where the footer does not say.
        moments: the first and the last ``ts`` in it, µs since 1970; None where the footer does not say.
    """

    rows: int
    symbols: tuple[str, str] | None
    moments: tuple[int, int] | None


class BarFile:
    """A file of bars whose footer was read, and is as it was written. Its row groups are checked when they are read.

    Args:
        source: open for reading anywhere in it.
        footer_digest: what ``write`` returned; without it, any whole file will do, such as an older one.

    Raises:
        LakeError: the footer is damaged, or it is not a file of bars.
    """

    def __init__(self, source: pa.NativeFile | BinaryIO, footer_digest: bytes | None = None) -> None:
        self._content = _Content(source)
        self._metadata, self._end_of_rows = _read_footer(self._content, footer_digest)
        schema = schema_of(self._metadata.schema.names)
        if schema is None:
            raise LakeError(f"it has other columns than a file of bars: {', '.join(self._metadata.schema.names)}")
        self.schema = schema
        self.groups = [_describe(self._metadata.row_group(n)) for n in range(self._metadata.num_row_groups)]

    def select(
        self,
        symbols: Sequence[str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Return some rows in the order in which they were written; see ``parquet.read``."""
        selection = Selection.between(symbols, start, end)
        names = self.schema.names if columns is None else columns
        tables = self.read({n: names for n, group in enumerate(self.groups) if selection.touches(group)})
        return join(list(tables.values()), self.schema, names, selection)

    def read(self, columns: Mapping[int, Sequence[str]]) -> dict[int, pa.Table]:
        """Return the rows of some row groups, in the order in which they were written, every bit as it was.

        Args:
            columns: by the row group's number, which columns, in the file's order.

        Raises:
            LakeError: a row group is not what was written.
        """
        metadata = self._metadata
        starts = [0, *(_first_byte(metadata.row_group(n)) for n in range(1, len(self.groups))), self._end_of_rows]
        for first, last in _runs(sorted(columns)):
            self._content.read(starts[first], starts[last + 1])
        digests = metadata.metadata[DIGESTS_KEY].decode().split()

        def read_group(n: int) -> pa.Table:
            if self._content.digest(starts[n], starts[n + 1]).hex() != digests[n]:
                place = f"bytes {starts[n]} to {starts[n + 1]}"
                raise LakeError(f"row group {n + 1} of {len(digests)} ({place}) is not what was written")
            schema = pa.schema([self.schema.field(name) for name in columns[n]])
            file = pq.ParquetFile(pa.BufferReader(self._content.bytes), metadata=metadata, read_dictionary=NAMES)
            stored = file.read_row_group(n, columns=schema.names, use_threads=False)
            decoded = [pa.chunked_array([decode(chunk) for chunk in column.chunks]) for column in stored.columns]
            return pa.table(decoded, schema=schema).unify_dictionaries().combine_chunks()

        return dict(zip(columns, do_together([partial(read_group, n) for n in columns]), strict=True))


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows of a file: those of ``symbols`` with ``ts`` in ``[start, end)``, µs since 1970; None is no limit."""

    symbols: Sequence[str] | None = None
    start: int | None = None
    end: int | None = None

    @classmethod
    def between(cls, symbols: Sequence[str] | None, start: datetime | None, end: datetime | None) -> Selection:
        """Return the rows of ``symbols`` in ``[start, end)``, UTC."""
        limits = (None if moment is None else microseconds(moment) for moment in (start, end))
        return cls(symbols, *limits)

    def touches(self, group: RowGroup) -> bool:
        """Return whether a row group may have such rows."""
        bounds = group.symbols
        if self.symbols is not None and bounds and not any(bounds[0] <= name <= bounds[1] for name in self.symbols):
            return False
        if group.moments is None:
            return True
        first, last = group.moments
        return (self.start is None or last >= self.start) and (self.end is None or first < self.end)

    def of(self, table: pa.Table) -> pa.Table:
        """Return such rows of ``table``, which has ``ts``, and ``symbol`` where only some symbols are meant.

        They are not copied if they are together.
        """
        if not table.num_rows:
            return table
        moments = numpy_of(table["ts"]).view(np.int64)
        picked = np.ones(table.num_rows, np.bool_)
        if self.symbols is not None:
            names = np.isin(table["symbol"].chunk(0).dictionary.to_pylist(), list(self.symbols))
            picked &= names[np.concatenate([numpy_of(chunk.indices) for chunk in table["symbol"].chunks])]
        if self.start is not None:
            picked &= moments >= self.start
        if self.end is not None:
            picked &= moments < self.end
        count, first = int(picked.sum()), int(picked.argmax())
        if picked[first : first + count].all():
            return table.slice(first, count)
        return table.filter(number_array(picked))


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
    start = footer_start(content.bytes.data)
    seal = start - _SEAL
    content.read_end(max(0, seal))
    digest = content.digest(start, content.size)
    if seal < 0 or content.bytes[seal:start].tobytes() != digest:
        raise LakeError("its footer is damaged, or it was not written by Chandlery")
    if expected not in {None, digest}:
        raise LakeError("it is another file than the one that was written: its footer differs")
    metadata = pq.read_metadata(pa.BufferReader(content.bytes[start:]))
    if metadata.metadata.get(FORMAT_KEY) != FORMAT:
        raise LakeError("it was written by a later version of Chandlery")
    return metadata, seal


def footer_start(content: memoryview) -> int:
    """Return where the footer begins in a file's ``content``."""
    start = len(content) - _END - int.from_bytes(content[-_END:-4], "little")
    if start < 0 or content[-4:] != _MAGIC:
        what = counted(len(content), "byte ends", "bytes end")
        raise LakeError(f"it is cut short or not a Parquet file: its {what} without a footer")
    return start


def _describe(group: pq.RowGroupMetaData) -> RowGroup:
    names, moments = (group.column(place).statistics for place in (0, 1))
    symbols = (names.min, names.max) if names is not None and names.has_min_max else None
    bounds = (moments.min_raw, moments.max_raw) if moments is not None and moments.has_min_max else None
    return RowGroup(group.num_rows, symbols, bounds)


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and last of each run of consecutive numbers: each is read at once."""
    for position, number in enumerate(numbers):
        if not position or number != numbers[position - 1] + 1:
            first = number
        if position + 1 == len(numbers) or numbers[position + 1] != number + 1:
            yield first, number


def _first_byte(group: pq.RowGroupMetaData) -> int:
    column = group.column(0)
    return int(column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset)


@contextmanager
def explained() -> Iterator[None]:
    """Turn the errors of the file, or about what is in it, into one that says so."""
    try:
        yield
    except (OSError, pa.ArrowException, MemoryError) as error:
        raise LakeError(f"it cannot be read: {error}") from error
