"""The market database as a Dagster resource: a shell around ``chandlery.tiers.warehouse.Warehouse``.

Not here: which server it is (``chandlery.settings``, read from the environment when a run starts).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import PrivateAttr

from chandlery.app.installation import Installation
from chandlery.settings import Settings
from chandlery.tiers.warehouse import Warehouse


class StoreResource(dg.ConfigurableResource["StoreResource"]):
    """Opens the installation's database for a run, a schedule's tick or a sensor's."""

    _installation: Installation | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["StoreResource"]:
        """Open the installation, and close its connections at the end."""
        del context
        settings = Settings()
        self._installation = Installation(settings, Warehouse.open(settings))
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
        """The open market database."""
        return self.installation.warehouse
