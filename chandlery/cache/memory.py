"""The memory of this process: tables under keys, and finished answers, within one limit of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from chandlery.cache.base import Counters, PlaceStats, compact, retained_bytes
from chandlery.database.forks import forget_in_children

#: What an entry takes besides its table or answer, about.
_OVERHEAD = 512
_TABLE, _ANSWER = "table", "answer"


@dataclass(frozen=True, slots=True)
class _Entry:
    version: Hashable
    value: Any
    bytes: int


class MemoryCache:
    """Tables and answers in the memory of this process.

    A table counts with all the memory that it keeps in use. One that is mapped from a file counts likewise, although
    its memory is the system's, shared by all processes.

    A forked child keeps what its parent had: the memory is shared until one of them writes to it. A spawned one begins
    empty.

    Args:
        max_bytes: the most that all entries together may take.
    """

    name = "memory"

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[tuple[str, Hashable], _Entry] = OrderedDict()
        self._bytes = 0
        self._counters = Counters()
        forget_in_children(self)

    def __reduce__(self) -> tuple[type[MemoryCache], tuple[int]]:
        """Begin empty where it is unpickled."""
        return MemoryCache, (self.max_bytes,)

    def forget(self) -> None:
        """Keep the entries in a child; a thread of the parent may have held the lock and been about to count."""
        self._lock = threading.Lock()
        self._bytes = sum(entry.bytes for entry in self._entries.values())
        self._counters.forget()

    def get(self, key: str) -> pa.Table | None:
        """Return the table, or None."""
        return self._get((_TABLE, key), None)

    def get_many(self, keys: Sequence[str]) -> dict[str, pa.Table]:
        """Return those of the tables that are here."""
        found = ((key, self.get(key)) for key in keys)
        return {key: table for key, table in found if table is not None}

    def put(self, key: str, table: pa.Table) -> None:
        """Keep the table, unless it is larger than all there may be."""
        table = compact(table)
        self._put((_TABLE, key), _Entry(None, table, retained_bytes(table) + _OVERHEAD))

    def get_answer(self, key: Hashable, version: Hashable) -> object | None:
        """Return the answer that was put under ``key`` for exactly this ``version``, or None.

        All who ask get the same object, so it must be one that nobody changes, or of which each makes a copy (a shallow
        one of a pandas frame costs microseconds, because pandas copies what is written to).
        """
        answer: object | None = self._get((_ANSWER, key), version)
        return answer

    def put_answer(self, key: Hashable, version: Hashable, value: object, nbytes: int) -> None:
        """Keep an answer in place of one of another version.

        Args:
            key: what was asked.
            version: what it was answered from; what is equal to it means the same data.
            value: the answer, not None.
            nbytes: how much memory it keeps in use.
        """
        self._put((_ANSWER, key), _Entry(version, value, nbytes + _OVERHEAD))

    def stats(self) -> PlaceStats:
        """Return what it did, and what is in it."""
        counted = self._counters
        with self._lock:
            used, entries = self._bytes, len(self._entries)
        return PlaceStats(
            place=self.name,
            where=None,
            hits=counted.hits,
            misses=counted.misses,
            evictions=counted.evictions,
            bytes=used,
            entries=entries,
            limit=self.max_bytes,
            skipped=counted.skipped,
        )

    def clear(self) -> None:
        """Remove everything, in this process."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def close(self) -> None:
        """Let go of the memory."""
        self.clear()

    def _get(self, place: tuple[str, Hashable], version: Hashable) -> Any:  # noqa: ANN401 - whatever was put
        with self._lock:
            entry = self._entries.get(place)
            found = entry is not None and entry.version == version
            if found:
                self._entries.move_to_end(place)
        self._counters.add(hits=found, misses=not found)
        return entry.value if found and entry is not None else None

    def _put(self, place: tuple[str, Hashable], entry: _Entry) -> None:
        evicted = []  # let go of outside the lock, because that may take a while and run other code
        with self._lock:
            before = self._entries.pop(place, None)
            if before is not None:
                self._bytes -= before.bytes
            if fits := entry.bytes <= self.max_bytes:
                self._entries[place] = entry
                self._bytes += entry.bytes
                while self._bytes > self.max_bytes:
                    _, oldest = self._entries.popitem(last=False)
                    self._bytes -= oldest.bytes
                    evicted.append(oldest)
        self._counters.add(evictions=len(evicted), skipped=not fits)
