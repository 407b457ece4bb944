"""What all providers that are called over a network have in common: how they are made, and how they answer a request.

A vendor adds what it downloads, how that becomes bars, and what its errors mean. Not here: any vendor, a single call
(``caller``), and the shape of bars (``normalize``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, ClassVar, Generic, TypeVar
from urllib.parse import urlsplit

import pyarrow as pa
from pydantic import Field, field_validator

from chandlery.config.yaml_document import Section
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.errors import ProviderAuthError, ProviderBadDataError, ProviderError
from chandlery.providers.base import BarReply, BarRequest, ProviderLimits, ProviderSetup
from chandlery.providers.http.errors import NotEntitledError
from chandlery.providers.http.normalize import describe, join_bars
from chandlery.redaction.text import holds_credentials

T = TypeVar("T")
DownloadT = TypeVar("DownloadT")


class RemoteOptions(Section):
    """The options of a provider that is called over HTTP.

    Attributes:
        url: its address, where that is not the vendor's own.
    """

    url: Annotated[str, Field(pattern=r"^https?://")] | None = None

    @field_validator("url")
    @classmethod
    def _holds_no_credentials(cls, value: str | None) -> str | None:
        try:
            parts = urlsplit(value or "")
            has_host = value is None or (bool(parts.hostname) and parts.port != 0)
        except ValueError:  # of the port, or of brackets
            has_host = False
        if not has_host or any(letter.isspace() or not letter.isprintable() for letter in value or ""):
            raise ValueError("is not an address; write https://host:port/path") from None
        # Neither is repeated here.
        if "@" in parts.netloc or holds_credentials(value or ""):
            raise ValueError("holds a user, a password or a key; name the keys' environment variables in key_env")
        if parts.query or parts.fragment:
            raise ValueError("ends in a query or a fragment; write https://host:port/path")
        return value


class RemoteProvider(ABC, Generic[DownloadT]):
    """A provider that is called over a network. ``DownloadT`` is what the vendor sends of one symbol.

    Args:
        setup: what it is made from.

    Attributes:
        timeframes: those that it can serve.
        limits: what it demands of its callers.
        name: its own name, as configured.
        caller: makes its calls.
        source: of its rows, where the vendor does not distinguish feeds.
    """

    timeframes: ClassVar[frozenset[Timeframe]] = frozenset(INGESTED)
    limits: ClassVar[ProviderLimits]

    def __init__(self, setup: ProviderSetup[Any]) -> None:
        self.name = setup.name
        self.caller = setup.caller
        self.source = setup.source()

    def fetch(self, request: BarRequest) -> BarReply:
        """Return the bars that ``request`` is for. A symbol that fails is reported, and the others are served.

        Raises:
            ProviderAuthError: the key is refused, so that no symbol can be served.
        """
        tables: list[pa.Table] = []
        failures: dict[str, ProviderError] = {}
        for part in self.divide(request) if request.start < request.end else ():
            downloads, failed = self._download(part)
            failures |= failed
            for symbol, download in downloads.items():
                try:
                    tables.append(self.to_bars(replace(request, symbols=[symbol]), symbol, download))
                except ProviderBadDataError as error:
                    text = f"{self.name}: {describe(replace(request, symbols=[symbol]))}: {error}"
                    failures[symbol] = ProviderBadDataError(text, provider=self.name, symbol=symbol)
        return BarReply(join_bars(tables), failures)

    def span(self, symbol: str, timeframe: Timeframe) -> None:  # noqa: ARG002
        """Return None: it cannot say without a call."""
        return

    def divide(self, request: BarRequest) -> Iterable[BarRequest]:
        """Return the requests that are downloaded one at a time; by default one for each symbol."""
        return (replace(request, symbols=[symbol]) for symbol in request.symbols)

    @abstractmethod
    def download(self, request: BarRequest) -> Mapping[str, DownloadT]:
        """Return what the vendor sends of each symbol of ``request``, by symbol; all calls go through ``call``.

        Raises:
            ProviderError: the request fails. Where the error names one of several symbols, the download is repeated
                without that symbol.
        """

    @abstractmethod
    def to_bars(self, request: BarRequest, symbol: str, download: DownloadT) -> pa.Table:
        """Return the bars of ``symbol`` that ``request`` is for, from what was downloaded; see ``shape_bars``.

        Raises:
            ProviderBadDataError: they cannot be bars, or cannot be stored as such.
        """

    @abstractmethod
    def explain(self, error: Exception, request: BarRequest) -> ProviderError | None:
        """Return what an error that was raised during a call means; None where it is a mistake of ours."""

    def call(self, step: Callable[[], T], request: BarRequest) -> T:
        """Return what ``step`` returns, which makes one call for ``request``; see ``Caller.call``."""
        return self.caller.call(step, explain=partial(self.explain, request=request), about=describe(request))

    def _download(self, request: BarRequest) -> tuple[Mapping[str, DownloadT], dict[str, ProviderError]]:
        """Return what could be downloaded by symbol, and the error of each other symbol."""
        failures: dict[str, ProviderError] = {}
        remaining = list(request.symbols)
        while remaining:
            try:
                return self.download(replace(request, symbols=remaining)), failures
            except ProviderError as error:
                if isinstance(error, ProviderAuthError) and not isinstance(error, NotEntitledError):
                    raise
                failed = [error.symbol] if error.symbol in remaining else remaining
                failures |= dict.fromkeys(failed, error)
                remaining = [symbol for symbol in remaining if symbol not in failed]
        return {}, failures
