"""How this process and the installation are doing. Not here: what is stored of each instrument (``holdings``)."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

import chandlery
from chandlery.api.reads import Reads
from chandlery.cache.base import PlaceStats
from chandlery.database.connections import ConnectionStats, repeat_read_once
from chandlery.errors import ChandleryError
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


@dataclass(frozen=True, slots=True)
class Reached:
    """Whether something could be reached.

    Attributes:
        ok: whether it could.
        milliseconds: how long that took, or how long it took to know that it could not.
        trouble: why it could not, or None.
    """

    ok: bool
    milliseconds: float
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """How what a read needs is doing.

    Attributes:
        database: whether it answers.
        lake: whether its root can be looked at.
        versions: by name, of the packages and, where it answers, of the server; None where it has none.
        stats: of this process.
    """

    database: Reached
    lake: Reached
    versions: Mapping[str, str | None]
    stats: Stats

    @property
    def ok(self) -> bool:
        """Whether reads can work. Without a place of the cache they are slower, and nothing else."""
        return self.database.ok and self.lake.ok


class Condition(Reads):
    """How this process and the installation are doing."""

    def stats(self) -> Stats:
        """Return what the cache did in this process and what is in it, and the connections; asks no database."""
        return Stats(self._cache.stats(), self._warehouse.database.stats())

    def health(self) -> Health:
        """Return whether the database and the lake can be reached just now, how long that took, and all versions.

        Raises nothing because one of them cannot; ``trouble`` says why.
        """
        versions = {"chandlery": chandlery.__version__, "python": platform.python_version(), "pyarrow": pa.__version__}
        return Health(_try(partial(self._ask_server, versions)), _try(self._look_at_lake), versions, self.stats())

    def _ask_server(self, versions: dict[str, str | None]) -> None:
        from chandlery.database.editions.detect import describe_server  # noqa: PLC0415 - see ``status``

        with self._warehouse.connection() as connection:
            report = describe_server(connection)
        versions |= {"postgresql": report.postgresql, "timescaledb": report.timescaledb}
        versions["edition"] = report.edition.name

    def _look_at_lake(self) -> None:
        self._warehouse.lake.exists("lake.json")

    @repeat_read_once
    def status(self) -> Status:
        """Return where things are, what is stored, and what waits for a person, as the command ``status`` shows it."""
        from chandlery.ops.status import read_status  # noqa: PLC0415 - slow to import, and reads do not need it

        return read_status(self._warehouse, Settings())


def _try(reach: Callable[[], None]) -> Reached:
    began = time.perf_counter()
    trouble = None
    try:
        reach()
    except ChandleryError as error:
        trouble = str(error)
    return Reached(trouble is None, round((time.perf_counter() - began) * 1000, 3), trouble)
