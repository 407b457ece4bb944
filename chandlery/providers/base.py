"""What a provider of bars must do: the protocol, its request and its reply.

A provider answers with raw (unadjusted) bars in the canonical Arrow shape and judges nothing: a bar with an impossible
price is passed on for the gate to reject. Not here: any vendor, and where keys come from (``registry``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import pyarrow as pa

from chandlery.errors import ProviderError
from chandlery.timeframe import Timeframe


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


class Provider(Protocol):
    """A source of bars."""

    @property
    def name(self) -> str:
        """Short lower-case name, as in ``config/providers.yaml``."""
        ...

    @property
    def timeframes(self) -> frozenset[Timeframe]:
        """The ingested timeframes it can serve."""
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
