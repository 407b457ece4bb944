"""The cache: its places together, fastest first. Not here: what is worth keeping, and under which key (``reading``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import pyarrow as pa

from chandlery.cache.background import WAITING_BYTES, Background
from chandlery.cache.base import Place, PlaceStats, compact
from chandlery.cache.memory import MemoryCache

#: How long to close waits for what is still to be written, in seconds.
_SECONDS_TO_CLOSE = 5.0


class Found(NamedTuple):
    """A table, and the name of the place that had it."""

    table: pa.Table
    place: str


class Cache:
    """Tables under keys, in memory, on disk and in Redis, as far as there is each. Safe to share between threads.

    A key is any text and holds the version of what it names, so that an entry is true for ever or never asked for
    again; see ``base.Place``, also for windows that grow. Nothing here raises because a place does not work.

    A forked child keeps what was in memory and has its own thread and connections.

    Args:
        memory: of this process, where there is one.
        slow: the other places, the faster ones first.
        max_waiting: the most bytes that wait for the slow places at a time.
    """

    def __init__(
        self, memory: MemoryCache | None = None, slow: Sequence[Place] = (), *, max_waiting: int = WAITING_BYTES
    ) -> None:
        self.memory = memory
        self.places: Sequence[Place] = (*([] if memory is None else [memory]), *slow)
        self._slow, self._max_waiting = tuple(slow), max_waiting
        # One for each, so that a place which hangs does not hold up another.
        self._writers = {place.name: Background(place.put, max_waiting) for place in self._slow}

    def __reduce__(self) -> tuple[object, ...]:
        """Be opened anew where it is unpickled, with an empty memory and nothing that waits."""
        return partial(Cache, max_waiting=self._max_waiting), (self.memory, self._slow)

    def get(self, key: str) -> Found | None:
        """Return the table and where it was, or None. The places before that one get it too."""
        return self.get_many([key]).get(key)

    def get_many(self, keys: Sequence[str]) -> dict[str, Found]:
        """Return those of the tables that are in any place; each place is asked once for all that it may have."""
        found: dict[str, Found] = {}
        for number, place in enumerate(self.places):
            missing = [key for key in keys if key not in found]
            if not missing:
                break
            for key, table in place.get_many(missing).items():
                found[key] = Found(table, place.name)
                for before in self.places[:number]:
                    self._keep(before, key, table)
        return found

    def put(self, key: str, table: pa.Table) -> None:
        """Keep the table: in memory at once, in the other places soon, or not where too much waits for them."""
        table = compact(table)
        for place in self.places:
            self._keep(place, key, table)

    def get_answer(self, key: object, version: object) -> object | None:
        """Return the answer that memory has under ``key`` for exactly this ``version``; see ``MemoryCache``."""
        return None if self.memory is None else self.memory.get_answer(key, version)

    def put_answer(self, key: object, version: object, value: object, nbytes: int) -> None:
        """Keep an answer in memory; see ``MemoryCache``."""
        if self.memory is not None:
            self.memory.put_answer(key, version, value, nbytes)

    def stats(self) -> list[PlaceStats]:
        """Return what each place did in this process and what is in it, fastest first."""
        return [self._with_dropped(place.stats()) for place in self.places]

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until the slow places have what was put so far; return whether they have.

        Args:
            timeout: the longest to wait for each, in seconds; None for as long as it takes.
        """
        return min([writer.flush(timeout) for writer in self._writers.values()], default=True)

    def clear(self) -> None:
        """Remove everything from every place: that of other processes too, and in Redis that of other machines."""
        self.flush(_SECONDS_TO_CLOSE)
        for place in self.places:
            place.clear()

    def close(self) -> None:
        """Write what waits, if it takes seconds at most, and let go of memory and connections. It may be used again."""
        for writer in self._writers.values():
            writer.close(_SECONDS_TO_CLOSE)
        for place in self.places:
            place.close()

    def _with_dropped(self, stats: PlaceStats) -> PlaceStats:
        """Return ``stats`` with the tables that were never offered to the place, because too much waited."""
        writer = self._writers.get(stats.place)
        return stats if writer is None else replace(stats, skipped=stats.skipped + writer.dropped)

    def _keep(self, place: Place, key: str, table: pa.Table) -> None:
        writer = self._writers.get(place.name)
        if writer is None:
            place.put(key, table)
        else:
            writer.add(key, table)
