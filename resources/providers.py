"""The providers of bars as a Dagster resource: a shell around ``chandlery.providers.catalog``.

Not here: any vendor.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from chandlery.providers.base import Provider
from chandlery.providers.catalog import build_provider, load_providers
from chandlery.providers.http.rate_limit import RateLimiterFactory, local_rate_limiter
from chandlery.settings import Settings


class ProvidersResource(dg.ConfigurableResource[None]):
    """Makes providers by their name in ``providers.yaml``."""

    def get(
        self,
        name: str,
        *,
        options: Mapping[str, Any] | None = None,
        calendars: Mapping[str, str] | None = None,
        rate_limiters: RateLimiterFactory = local_rate_limiter,
    ) -> Provider:
        """Return the provider called ``name``; see ``catalog.build_provider``."""
        config = load_providers(Settings().config / "providers.yaml")
        return build_provider(name, config, options=options, calendars=calendars, rate_limiters=rate_limiters)
