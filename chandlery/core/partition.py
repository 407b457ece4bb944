"""The unit of ingestion: one instrument's window of one timeframe. Not here: what becomes of one (``ingest``)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from chandlery.core.listing import BEGINNING, END, listed_span
from chandlery.core.timeframe import Timeframe, Window
from chandlery.core.windows import EVER, instant


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
    def asset_class(self) -> str:
        """What it is: ``equity``, ``future``, ..."""
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
        asset_class: what it is: ``equity``, ``future``, ...
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
    asset_class: str
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
        """Return the part of ``window`` within ``[start, end)``, UTC, in which the instrument was listed.

        The range has no limits by default. Where nothing is left, the partition is empty: its start is its end, and may
        lie outside of the window.
        """
        first = window.start if start is None else max(start, window.start)
        last = window.end if end is None else min(end, window.end)
        if instrument.listed is not None or instrument.delisted is not None:
            listed_from, listed_until = listed_range(instrument, timeframe)
            first, last = max(first, listed_from), min(last, listed_until)
        return cls(
            instrument_id=instrument.instrument_id,
            symbol=instrument.symbol,
            asset_class=instrument.asset_class,
            calendar=instrument.calendar,
            timeframe=timeframe,
            window=window,
            start=first,
            end=max(first, last),
            listed=instrument.listed,
            delisted=instrument.delisted,
        )

    @property
    def is_unlisted(self) -> bool:
        """Whether the instrument was not listed at any time of the window."""
        listed_from, listed_until = listed_range(self, self.timeframe)
        return listed_until <= self.window.start or listed_from >= self.window.end

    @property
    def key(self) -> str:
        """The partition's key in Dagster: ``AAPL|2024-01``."""
        return f"{self.symbol}|{self.window.key}"


def listed_range(instrument: Listing, timeframe: Timeframe) -> tuple[datetime, datetime]:
    """Return the half-open range, UTC, of the bars of sessions on which an instrument was listed.

    Without a limit at an end, it is the end of all time.
    """
    span = listed_span(instrument.calendar, timeframe, instrument.listed, instrument.delisted)
    first, last = (
        end if micros in {BEGINNING, END} else instant(micros) for micros, end in zip(span, EVER, strict=True)
    )
    return first, last
