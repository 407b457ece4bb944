"""The unit of ingestion: one instrument's window of one timeframe. Not here: what becomes of one (``ingest``)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from chandlery.core.timeframe import Timeframe, Window


@dataclass(frozen=True, slots=True)
class Partition:
    """One instrument's window, as far as a run asked for it.

    Attributes:
        symbol: canonical symbol.
        calendar: name of its trading calendar, as in ``exchange_calendars``.
        timeframe: the bars' timeframe.
        window: the whole window.
        start: first instant asked for, UTC, inclusive; not before the window's.
        end: end of what was asked for, UTC, exclusive; not after the window's.
        listed: first session on which it traded, where known.
        delisted: first session on which it no longer traded, where known.
    """

    symbol: str
    calendar: str
    timeframe: Timeframe
    window: Window
    start: datetime
    end: datetime
    listed: date | None = None
    delisted: date | None = None

    @property
    def key(self) -> str:
        """The partition's key in Dagster: ``AAPL|2024-01``."""
        return f"{self.symbol}|{self.window.key}"
