"""What may differ between servers, as one small interface. Nothing else asks what server it is on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import psycopg

from chandlery.core.timeframe import Timeframe


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a timeframe's table that is stored, compressed and dropped as a whole.

    TimescaleDB calls it a chunk, PostgreSQL a partition.

    Attributes:
        name: of the table that holds it, quoted and with its schema.
        start: first instant of its bars, UTC, inclusive.
        end: first instant after it, UTC, exclusive.
        bytes: its size with indexes and whatever it is compressed into.
        compressed: whether all of it is compressed.
    """

    name: str
    start: datetime
    end: datetime
    bytes: int
    compressed: bool


@dataclass(frozen=True, slots=True)
class Compression:
    """What compressing a chunk did.

    Attributes:
        chunk: as it was before.
        bytes: its size afterwards.
    """

    chunk: Chunk
    bytes: int


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a timeframe's table.

    Attributes:
        bytes: of all its chunks.
        estimate: about how many bars it has, from the planner's statistics; 0 where it was never analysed.
    """

    bytes: int
    estimate: int


class Edition(Protocol):
    """How one kind of server stores bars."""

    @property
    def name(self) -> str:
        """``postgres``, ``apache`` or ``community``."""
        ...

    @property
    def meaning(self) -> str:
        """What this edition can and cannot do, in a sentence for ``chandlery status``."""
        ...

    @property
    def compresses(self) -> bool:
        """Whether ``compress`` does anything."""
        ...

    @property
    def keeps_aggregates(self) -> bool:
        """Whether the server has continuous aggregates; see ``rollups.continuous``."""
        ...

    def prepare(self, connection: psycopg.Connection, timeframe: Timeframe, first: datetime, last: datetime) -> None:
        """Make sure that bars which start in ``[first, last]`` (both inclusive) have a place to go.

        Runs in the caller's transaction, if there is one; does nothing where the place is there.
        """
        ...

    def chunks(self, connection: psycopg.Connection, timeframe: Timeframe) -> Sequence[Chunk]:
        """Return the chunks of the timeframe's table, oldest first."""
        ...

    def compress(self, connection: psycopg.Connection, timeframe: Timeframe, before: datetime) -> Iterator[Compression]:
        """Compress every chunk that ends by ``before`` (UTC) and is not wholly compressed, each in its own transaction.

        Yields what became of each, as it is done; nothing where this edition cannot compress. ``connection`` is in
        autocommit mode.
        """
        ...

    def drop(self, connection: psycopg.Connection, timeframe: Timeframe, chunk: Chunk) -> None:
        """Drop ``chunk`` with all its bars, in the caller's transaction; does nothing where it is gone."""
        ...

    def sizes(self, connection: psycopg.Connection) -> Mapping[Timeframe, Size]:
        """Return the size of each timeframe's table, compressed bars included."""
        ...
