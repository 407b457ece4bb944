"""The installation as a Dagster resource: a shell around ``chandlery.app.installation.Installation``.

Not here: which server it is (``chandlery.settings``, read from the environment when a run starts, because it may hold a
password), and what the configuration files may say (``chandlery.config``).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import PrivateAttr

from chandlery.app.configuration import Configuration
from chandlery.app.installation import Installation
from chandlery.providers.http.rate_limit import RateLimiterFactory
from chandlery.providers.http.shared_rate_limit import shared_rate_limiters
from chandlery.settings import Settings
from chandlery.tiers.warehouse import Warehouse


class StoreResource(dg.ConfigurableResource["StoreResource"]):
    """The installation's store and lake, open for a run or a tick. Nothing of them can be configured here."""

    #: What the configuration files say; no part of a run's configuration.
    configuration: dg.ResourceDependency[Configuration]
    _installation: Installation | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["StoreResource"]:
        """Open the installation, and close its connections at the end."""
        del context
        settings = Settings()
        self._installation = Installation(settings, self.configuration, Warehouse.open(settings))
        try:
            yield self
        finally:
            self._installation.warehouse.close()

    @property
    def installation(self) -> Installation:
        """The open installation."""
        if self._installation is None:
            raise dg.DagsterInvariantViolationError("the store is open only while something runs")
        return self._installation

    @property
    def warehouse(self) -> Warehouse:
        """The open warehouse."""
        return self.installation.warehouse

    @property
    def rate_limiters(self) -> RateLimiterFactory:
        """Makes the rate limiters of providers' keys, which all processes of the installation share."""
        return shared_rate_limiters(self.warehouse.database)
