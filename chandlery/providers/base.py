"""What a provider of bars must do: the protocol, its terms, its request and its reply.

A provider answers with raw (unadjusted) bars in the canonical Arrow shape and judges nothing: a bar with an impossible
price is passed on for the gate to reject. Not here: any vendor, and where keys come from (``registry``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import pyarrow as pa

from chandlery.core.timeframe import Timeframe
from chandlery.errors import ProviderError


@dataclass(frozen=True, slots=True)
class BarRequest:
    """Bars of ``symbols`` that start in ``[start, end)``, UTC."""

    symbols: Sequence[str]
    timeframe: Timeframe
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class BarReply:
    """What a provider answered.

    Attributes:
        bars: table of schema ``schema.BARS`` with the symbols as they were asked for; any order within a symbol.
        failures: for each symbol that could not be served, why. Such a symbol has no rows in ``bars``.
    """

    bars: pa.Table
    failures: Mapping[str, ProviderError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProviderLimits:
    """What a provider asks of its callers, and what may be expected of its answers.

    Attributes:
        remote: whether asking costs calls. If so, answers are kept in the landing zone, and a session that is complete
            and final is not asked for again.
        symbols_per_request: so many symbols go into one request at most.
        bars_per_request: about so many bars go into one request at most.
        workers: so many requests may be under way at a time.
        settles: by timeframe, for how long after a session's close bars that belong to it may still come or change,
            those of extended hours included; not at all where absent.
        history_depth: by timeframe, for how long after a bar's start it is still served; for ever where absent.
    """

    remote: bool = False
    symbols_per_request: int = 10_000
    bars_per_request: int = 500_000
    workers: int = 1
    settlement_delay: Mapping[Timeframe, timedelta] = field(default_factory=dict)
    history_depth: Mapping[Timeframe, timedelta] = field(default_factory=dict)


class Provider(Protocol):
    """A source of bars. May be asked by several threads at once where its terms allow more than one worker.

    One that makes its calls through ``calls.Caller`` should show that as its attribute ``calls``: then a run tells how
    many it made, and can stop them.
    """

    @property
    def name(self) -> str:
        """Short lower-case name, as in ``config/providers.yaml``."""
        ...

    @property
    def timeframes(self) -> frozenset[Timeframe]:
        """The ingested timeframes it can serve."""
        ...

    @property
    def limits(self) -> ProviderLimits:
        """What it asks of its callers."""
        ...

    def fetch(self, request: BarRequest) -> BarReply:
        """Return the bars asked for.

        A symbol that fails alone is reported in ``BarReply.failures``; an error of the provider as a whole (a bad
        key, an outage) is raised as a ``ProviderError``.
        """
        ...

    def span(self, symbol: str, timeframe: Timeframe) -> tuple[datetime, datetime] | None:
        """Return the half-open UTC range in which it has bars of ``symbol``, or None where it cannot tell.

        Raises:
            ProviderNotFoundError: it does not know the symbol.
        """
        ...
