"""The unit of ingestion: one instrument's window of one timeframe. Not here: what becomes of one (``ingest``)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from chandlery.core.timeframe import Timeframe, Window


class Listing(Protocol):
    """What a partition has to know of its instrument; ``instruments.registry.Instrument`` has all of it."""

    @property
    def instrument_id(self) -> int:
        """Permanent number of the instrument."""
        ...

    @property
    def symbol(self) -> str:
        """Canonical symbol."""
        ...

    @property
    def calendar(self) -> str:
        """Name of its trading calendar, as in ``exchange_calendars``."""
        ...

    @property
    def listed(self) -> date | None:
        """First session on which it traded, where known."""
        ...

    @property
    def delisted(self) -> date | None:
        """First session on which it no longer traded, where known."""
        ...


@dataclass(frozen=True, slots=True)
class Partition:
    """The part of one instrument's window that a run requests. ``Partition.of`` makes one.

    Attributes:
        instrument_id: permanent number of the instrument.
        symbol: its canonical symbol.
        calendar: name of its trading calendar, as in ``exchange_calendars``.
        timeframe: the bars' timeframe.
        window: the whole window.
        start: first requested instant, UTC, inclusive.
        end: end of the requested range, UTC, exclusive. It equals ``start`` where nothing is requested.
        listed: first session on which the instrument traded, where known.
        delisted: first session on which it no longer traded, where known.
    """

    instrument_id: int
    symbol: str
    calendar: str
    timeframe: Timeframe
    window: Window
    start: datetime
    end: datetime
    listed: date | None
    delisted: date | None

    @classmethod
    def of(
        cls,
        instrument: Listing,
        timeframe: Timeframe,
        window: Window,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Partition:
        """Return the part of ``window`` within ``[start, end)``, UTC; all of it by default.

        Where they have no instant in common, the partition is empty: its start is its end, and may lie outside of the
        window.
        """
        first = window.start if start is None else max(start, window.start)
        last = window.end if end is None else min(end, window.end)
        return cls(
            instrument_id=instrument.instrument_id,
            symbol=instrument.symbol,
            calendar=instrument.calendar,
            timeframe=timeframe,
            window=window,
            start=first,
            end=max(first, last),
            listed=instrument.listed,
            delisted=instrument.delisted,
        )

    @property
    def key(self) -> str:
        """The partition's key in Dagster: ``AAPL|2024-01``."""
        return f"{self.symbol}|{self.window.key}"
