"""What a provider of bars is: the protocol, its limits, its request and its reply, and the kind that it is made from.

A provider answers with raw (unadjusted) bars in the canonical Arrow shape and rejects none of them: a bar with an
impossible price is passed on for the gate to reject. Not here: any vendor, and where keys come from (``catalog``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

import pyarrow as pa
from pydantic import SecretStr

from chandlery.config.yaml_document import Section
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.errors import ProviderError
from chandlery.providers.http.caller import Caller, RetryPolicy

OptionsT = TypeVar("OptionsT", bound=Section)


@dataclass(frozen=True, slots=True)
class BarRequest:
    """A request for the bars of ``symbols`` that start in ``[start, end)``, UTC."""

    symbols: Sequence[str]
    timeframe: Timeframe
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Held:
    """What a person's files hold of a symbol.

    Attributes:
        source: of its bars.
        ranges: half-open, UTC, in which the files hold all that there is: from the first bar of a file to its last.
    """

    source: str
    ranges: Sequence[tuple[datetime, datetime]]


@dataclass(frozen=True, slots=True)
class BarReply:
    """What a provider answered.

    Attributes:
        bars: table of schema ``schema.BARS`` with the symbols as the request spells them; any order within a symbol.
        failures: for each symbol that could not be served, why. Such a symbol has no rows in ``bars``.
        files: by symbol, the file that its bars were read from, where the provider reads a person's files.
        held: by symbol, what these files hold. A bar that was served before, and is not among ``bars`` though it is in
            a range of these, is there no more.
    """

    bars: pa.Table
    failures: Mapping[str, ProviderError] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    held: Mapping[str, Held] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProviderLimits:
    """What a provider demands of its callers, and what may be expected of its answers.

    Attributes:
        remote: whether a request costs calls. If so, answers are kept in the landing zone, and a session that is
            complete and final is not requested again.
        symbols_per_request: the largest number of symbols in one request.
        bars_per_request: the largest number of bars, estimated, in one request.
        bars_per_call: by timeframe, how many bars one call brings at most, to estimate what a request costs; where
            absent, it is one call.
        workers: the largest number of requests that may be under way at a time.
        settlement_delay: by timeframe, for how long after a session's close bars that belong to it may still come or
            change, those of extended hours included; not at all where absent.
        history_depth: by timeframe, for how long after a bar's start it is still served; for ever where absent.
        endless: whether it has bars of any time. If so, a request without a range is for the last two whole weeks.
    """

    remote: bool = False
    symbols_per_request: int = 10_000
    bars_per_request: int = 500_000
    bars_per_call: Mapping[Timeframe, int] = field(default_factory=dict)
    workers: int = 1
    settlement_delay: Mapping[Timeframe, timedelta] = field(default_factory=dict)
    history_depth: Mapping[Timeframe, timedelta] = field(default_factory=dict)
    endless: bool = False


class Provider(Protocol):
    """A source of bars. Several threads may use it at once where its limits allow more than one worker.

    One that makes its calls through a ``Caller`` should show that as its attribute ``caller``: then a run can say how
    many calls it made, and can stop them.
    """

    @property
    def name(self) -> str:
        """Its own name: a key of ``providers.yaml``. Landed answers and quarantine entries bear it."""
        ...

    @property
    def timeframes(self) -> frozenset[Timeframe]:
        """The ingested timeframes that it can serve."""
        ...

    @property
    def limits(self) -> ProviderLimits:
        """What it demands of its callers."""
        ...

    def fetch(self, request: BarRequest) -> BarReply:
        """Return the bars that ``request`` is for.

        A symbol that fails alone is reported in ``BarReply.failures``.

        Raises:
            ProviderError: the provider fails as a whole: a refused key, an outage.
        """
        ...

    def span(self, symbol: str, timeframe: Timeframe) -> tuple[datetime, datetime] | None:
        """Return the half-open UTC range in which it has bars of ``symbol``, or None where it cannot say.

        Raises:
            ProviderNotFoundError: it does not know the symbol.
        """
        ...


@dataclass(frozen=True, slots=True)
class ProviderSetup(Generic[OptionsT]):
    """What a provider is made from.

    Attributes:
        kind: the name of its kind.
        name: its own name: a key of ``providers.yaml``.
        options: those of ``providers.yaml``, each overridden by the caller's.
        keys: by name, the values of the environment variables that ``key_env`` names.
        calendars: the name of the calendar by symbol, of the symbols that will be requested.
        tickers: other names by symbol, the latest first, of the symbols that have any.
        caller: makes its calls, within its rate limit, and makes them again where that may help.
    """

    kind: str
    name: str
    options: OptionsT
    keys: Mapping[str, SecretStr]
    calendars: Mapping[str, str]
    caller: Caller
    tickers: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def source(self, feed: str = "") -> str:
        """Return the source that its rows bear; see ``source_name``."""
        return source_name(self.kind, self.name, feed)


class NoOptions(Section):
    """The options of a kind that takes none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderKind:
    """A kind of provider, as an entry point of group ``chandlery.providers`` names it.

    Attributes:
        name: the value of ``kind`` in ``providers.yaml``, and the entry point's name.
        factory: makes a provider; the provider's class will do.
        options: the model of its options.
        run_options: which of them a run may choose as well, not only ``providers.yaml``. Never one that decides where a
            request, and with it a key, is sent.
        keys: the names of the keys that it needs.
        calls_per_minute: how many calls the vendor allows by its cheapest plan; None for no limit.
        limits: known before a provider is made, and the same for all of this kind.
        timeframes: the ingested timeframes that providers of this kind can serve.
        static: whether all it has is there from the start, so that a schedule would request new bars in vain.
        retry: when a call that failed is made again.
    """

    name: str
    factory: Callable[[ProviderSetup[Any]], Provider]
    options: type[Section] = NoOptions
    run_options: frozenset[str] = frozenset()
    keys: tuple[str, ...] = ()
    calls_per_minute: float | None = None
    limits: ProviderLimits = ProviderLimits()
    timeframes: frozenset[Timeframe] = frozenset(INGESTED)
    static: bool = False
    retry: RetryPolicy = field(default_factory=RetryPolicy)


def source_name(kind: str, name: str, feed: str = "") -> str:
    """Return the source that the rows of a provider bear.

    It is the kind, then the provider's own name where that is not the kind's, then the feed where there is one:
    ``alpaca:sip``, ``files``, ``files:backup``, ``alpaca:desk:sip``.
    """
    return ":".join(part for part in (kind, "" if name == kind else name, feed) if part)
