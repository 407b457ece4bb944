"""What the commands of one invocation share: the installation, and who runs the pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import typer

from chandlery.app.configuration import Configuration
from chandlery.app.installation import Installation
from chandlery.app.orchestrator import Orchestrator, load_orchestrator
from chandlery.instruments.registry import SyncReport
from chandlery.settings import Settings
from chandlery.tiers.warehouse import Warehouse


@dataclass
class Session:
    """One invocation.

    Attributes:
        orchestrator: makes the orchestrator of an installation; the registered one by default.
    """

    orchestrator: Callable[[Installation], Orchestrator] = field(default=load_orchestrator)
    _warehouses: list[Warehouse] = field(default_factory=list, init=False)

    @classmethod
    def of(cls, ctx: typer.Context) -> Session:
        """Return the session of a command: the object that the application was called with, or a new one."""
        root: Any = ctx.find_root()
        if root.obj is None:
            root.obj = cls()
        session: Session = root.obj
        root.call_on_close(session.close)
        return session

    @cached_property
    def installation(self) -> Installation:
        """The installation, which must have been set up."""
        settings = Settings()
        installation = Installation(settings, Configuration(settings.config), self._keep(Warehouse.open(settings)))
        installation.check_schema()
        return installation

    def create(self) -> tuple[Installation, SyncReport]:
        """Set up the installation; see ``Installation.create``."""
        installation, report = Installation.create()
        self._keep(installation.warehouse)
        return installation, report

    def close(self) -> None:
        """Close the connections."""
        while self._warehouses:
            self._warehouses.pop().close()

    def _keep(self, warehouse: Warehouse) -> Warehouse:
        self._warehouses.append(warehouse)
        return warehouse
