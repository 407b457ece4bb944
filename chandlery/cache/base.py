"""What a place of the cache is, and the form of the tables that rest in one.

A place keeps tables under keys and gives them back bit for bit. It never decides whether a table is still true: a key
holds the version that its table was built from, so an entry is true for ever, or nobody asks for it again. Nothing
expires. What was used least recently goes first. Not here: the places (``memory``, ``disk``, ``redis``), and using
them together (``cache``).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

#: A table whose buffers take this many times the bytes of its rows is copied before it is kept.
_WASTE = 1.25
_WORTH_A_COPY = 65_536


@dataclass(frozen=True, slots=True)
class PlaceStats:
    """What a place did in this process, and what is in it now.

    Attributes:
        place: ``memory``, ``disk`` or ``redis``.
        where: the folder or the address, without a password; None for memory.
        hits: how often it had what was asked for.
        misses: how often it had not.
        evictions: entries that this process removed to make room.
        bytes: what is in it; None where that cannot be found out. Disk and Redis count what other processes put there.
        entries: how many, likewise.
        limit: the most bytes that may be in it; None where the server decides.
        damaged: entries that were removed or passed over because they were not what was put there.
        skipped: tables that were not put there: larger than the place, or while it could not be written to.
        trouble: why it cannot be used just now, or None.
    """

    place: str
    where: str | None
    hits: int
    misses: int
    evictions: int
    bytes: int | None
    entries: int | None
    limit: int | None
    damaged: int = 0
    skipped: int = 0
    trouble: str | None = None


class Place(Protocol):
    """Where tables are kept under keys. Safe to share between threads. No method but opening one raises.

    A key is any text, and holds the version of what it names, such as the digest of a file. Putting under a key that is
    there already changes nothing, because it names the same table. Several installations may share a place, so what a
    key says must mean the same in all of them: a digest of what was read does, an instrument's id does not.

    A window that grows (live data) is put under a key with its newer version each time; the shorter table is never
    asked for again, and leaves as the least recently used. Nothing is ever changed in place, because readers share the
    memory of what they were given.
    """

    name: str

    def get(self, key: str) -> pa.Table | None:
        """Return the table, with one chunk per column, or None. Nobody may write to its memory."""
        ...

    def get_many(self, keys: Sequence[str]) -> dict[str, pa.Table]:
        """Return those of the tables that are there."""
        ...

    def put(self, key: str, table: pa.Table) -> None:
        """Keep the table, if there is room and the place can be written to."""
        ...

    def stats(self) -> PlaceStats:
        """Return what it did, and what is in it."""
        ...

    def clear(self) -> None:
        """Remove everything that is in it, for every process."""
        ...

    def close(self) -> None:
        """Let go of connections and memory; later calls find nothing or open them anew."""
        ...


class Counters:
    """What a place counts. Safe to share between threads."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin at zero, in a child too."""
        self._lock = threading.Lock()
        self.hits = self.misses = self.evictions = self.damaged = self.skipped = 0

    def add(self, *, hits: int = 0, misses: int = 0, evictions: int = 0, damaged: int = 0, skipped: int = 0) -> None:
        """Count what happened."""
        with self._lock:
            self.hits += hits
            self.misses += misses
            self.evictions += evictions
            self.damaged += damaged
            self.skipped += skipped


def compact(table: pa.Table) -> pa.Table:
    """Return ``table`` with exactly one chunk per column, and without the memory of rows that are not in it.

    What has that form already is not copied.
    """
    if any(column.num_chunks != 1 for column in table.columns):
        if not table.num_rows:
            return pa.Table.from_arrays([pa.nulls(0, field.type) for field in table.schema], schema=table.schema)
        table = table.unify_dictionaries().combine_chunks()
    kept = retained_bytes(table)
    if kept > _WORTH_A_COPY and kept > _WASTE * table.nbytes:
        table = _copied(table)
    return table


def retained_bytes(table: pa.Table) -> int:
    """Return how many bytes of memory stay in use while ``table`` does, the whole of what it shows a part of."""
    roots: dict[int, int] = {}
    for column in table.columns:
        for chunk in column.chunks:
            for buffer in _buffers(chunk):
                whole = buffer
                while whole.parent is not None:
                    whole = whole.parent
                roots[whole.address] = max(whole.size, roots.get(whole.address, 0))
    return sum(roots.values())


def _buffers(array: pa.Array) -> Iterator[pa.Buffer]:
    yield from filter(None, array.buffers())
    if pa.types.is_dictionary(array.type):
        yield from _buffers(array.dictionary)


def _copied(table: pa.Table) -> pa.Table:
    """Return ``table`` in memory of its own, through Arrow's own format, which leaves out what is not shown."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all()
