"""How this process and the installation are doing. Not here: what is stored of each instrument (``holdings``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chandlery.api.reads import Reads
from chandlery.cache.base import PlaceStats
from chandlery.database.connections import ConnectionStats, repeat_read_once
from chandlery.settings import Settings

if TYPE_CHECKING:
    from chandlery.ops.status import Status


@dataclass(frozen=True, slots=True)
class Stats:
    """What this process did, and has open.

    Attributes:
        cache: of each place of the cache, fastest first: hits, misses, evictions, bytes, ...
        connections: to the database.
    """

    cache: Sequence[PlaceStats]
    connections: ConnectionStats


class Condition(Reads):
    """How this process and the installation are doing."""

    def stats(self) -> Stats:
        """Return what the cache did in this process and what is in it, and the connections; asks no database."""
        return Stats(self._cache.stats(), self._warehouse.database.stats())

    @repeat_read_once
    def status(self) -> Status:
        """Return where things are, what is stored, and what waits for a person, as the command ``status`` shows it."""
        from chandlery.ops.status import read_status  # noqa: PLC0415 - slow to import, and reads do not need it

        return read_status(self._warehouse, Settings())
