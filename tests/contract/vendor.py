"""What the contract suite has to know of a vendor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import pytest

from chandlery.config.providers import CallLimits, ProviderConfig, ProvidersConfig
from chandlery.core.timeframe import Timeframe
from chandlery.providers.base import Provider
from chandlery.providers.catalog import build_provider
from chandlery.providers.http.caller import RetryPolicy
from chandlery.providers.http.rate_limit import RateLimiterFactory, local_rate_limiter
from tests.servers.http import FAULTS, Fault, VendorServer
from tests.servers.market import Market


class Vendor(ABC):
    """One vendor: its server, how an adapter is pointed at it, and where vendors differ.

    Attributes:
        kind: as in ``providers.yaml``.
        symbols: three that the market has.
        timezone: in which its days are.
        timeframes: that are tested.
        values: the columns that its bars have.
        source: of its rows.
        keys: right keys by name; none where it needs none.
        pages: whether a long range takes several pages or calls.
        page: rows that a page or call holds, where that is always the same.
        distinguishes_unknown: whether its answers distinguish an unknown symbol from one without bars.
        faults: those that its server can show.
        retry: so brief pauses between tries that a test can wait for them.
    """

    kind: ClassVar[str]
    symbols: ClassVar[Sequence[str]] = ("AAPL", "MSFT", "IBM")
    timezone: ClassVar[str] = "America/New_York"
    timeframes: ClassVar[Sequence[Timeframe]] = (Timeframe.M1, Timeframe.D1)
    values: ClassVar[Sequence[str]] = ("open", "high", "low", "close", "volume", "vwap", "trades")
    source: ClassVar[str]
    keys: ClassVar[Mapping[str, str]] = {}
    pages: ClassVar[bool] = True
    page: ClassVar[int | None] = None
    distinguishes_unknown: ClassVar[bool] = True
    faults: ClassVar[Sequence[Fault]] = FAULTS
    retry: ClassVar[RetryPolicy] = RetryPolicy(first_pause=0.02)

    @abstractmethod
    def serve(self, market: Market, **how: Any) -> AbstractContextManager[VendorServer]:  # noqa: ANN401 - VendorServer's
        """Start a server of this vendor's format."""

    def options(self, server: VendorServer) -> dict[str, Any]:
        """Return the options that point the adapter at ``server``."""
        return {"url": server.url}

    def connect(
        self,
        server: VendorServer,
        monkeypatch: pytest.MonkeyPatch,
        *,
        keys: Mapping[str, str] | None = None,
        rate_limiters: RateLimiterFactory = local_rate_limiter,
        **limits: Any,  # noqa: ANN401 - those of CallLimits
    ) -> Provider:
        """Make the adapter as an installation would, from configuration and environment."""
        variables = {}
        for name, value in (self.keys if keys is None else keys).items():
            variables[name] = f"CONTRACT_{self.kind.upper()}_{name.upper()}"
            monkeypatch.setenv(variables[name], value)
        config = ProviderConfig(
            kind=self.kind,
            options=self.options(server),
            key_env=variables,
            limits=CallLimits(**{"calls_per_minute": 60_000, "timeout": 60, "attempts": 3, **limits}),
        )
        config = ProvidersConfig(providers={self.kind: config})
        return build_provider(self.kind, config, rate_limiters=rate_limiters, retry=self.retry)
