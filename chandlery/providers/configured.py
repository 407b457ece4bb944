"""The providers of ``providers.yaml``, ready to be made by name. Not here: how one is made (``catalog``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chandlery.config.providers import ProvidersConfig
from chandlery.providers.base import Provider, ProviderLimits
from chandlery.providers.catalog import build_provider, calls_per_minute, find_kind, is_static, remote_limits
from chandlery.providers.http.rate_limit import RateLimiterFactory, local_rate_limiter


@dataclass(frozen=True, slots=True)
class ConfiguredProviders:
    """The configured providers, with what limits the rate of their calls.

    Attributes:
        config: what ``providers.yaml`` says.
        rate_limiters: makes the rate limiter of a key; by default one that holds in this process only.
    """

    config: ProvidersConfig
    rate_limiters: RateLimiterFactory = local_rate_limiter

    def build(
        self,
        name: str,
        *,
        options: Mapping[str, object] | None = None,
        calendars: Mapping[str, str] | None = None,
        tickers: Mapping[str, Sequence[str]] | None = None,
    ) -> Provider:
        """Make the provider called ``name``; see ``catalog.build_provider``."""
        return build_provider(
            name,
            self.config,
            options=options,
            calendars=calendars,
            tickers=tickers,
            rate_limiters=self.rate_limiters,
        )

    def takes(self, name: str, option: str) -> bool:
        """Return whether a run may choose ``option`` of the provider called ``name``."""
        return option in find_kind(self.config.provider(name).kind, provider=name).run_options

    def limits(self, name: str) -> ProviderLimits:
        """Return the limits of the provider called ``name``, without making it."""
        return self.remote_limits().get(name, ProviderLimits())

    def remote_limits(self) -> dict[str, ProviderLimits]:
        """Return the limits of the providers that are called over a network, by name, without making them."""
        return remote_limits(self.config)

    def calls_per_minute(self, name: str) -> float | None:
        """Return how many calls a minute the provider called ``name`` may get; None where there is no limit."""
        return calls_per_minute(self.config.provider(name))

    @property
    def static(self) -> frozenset[str]:
        """Names of the providers that have everything from the start, and never newer bars."""
        return frozenset(name for name, provider in self.config.providers.items() if is_static(provider))
