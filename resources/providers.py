"""The providers of bars as a Dagster resource: a shell around ``chandlery.providers.configured``.

Not here: any vendor.
"""

import dagster as dg

from chandlery.config.providers import ProvidersConfig
from chandlery.providers.configured import ConfiguredProviders
from chandlery.providers.http.rate_limit import RateLimiterFactory, local_rate_limiter


class ProvidersResource(dg.ConfigurableResource[None]):
    """The providers of providers.yaml. Nothing of them can be configured here: no run changes where a key is sent."""

    #: What ``providers.yaml`` says; no part of a run's configuration.
    config: dg.ResourceDependency[ProvidersConfig]

    def get(self, rate_limiters: RateLimiterFactory = local_rate_limiter) -> ConfiguredProviders:
        """Return the providers; ``rate_limiters`` makes the rate limiter of a key."""
        return ConfiguredProviders(self.config, rate_limiters)
