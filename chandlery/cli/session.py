"""What the commands of one invocation share: the installation, and who runs the pipeline.

What only some commands need is imported when they need it, because a person waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import typer

from chandlery.settings import Settings

if TYPE_CHECKING:
    from chandlery.app.installation import Installation
    from chandlery.app.orchestrator import Orchestrator
    from chandlery.instruments.registry import SyncReport
    from chandlery.tiers.warehouse import Warehouse


def _registered(installation: Installation) -> Orchestrator:
    from chandlery.app.orchestrator import load_orchestrator  # noqa: PLC0415 - slow to import

    return load_orchestrator(installation)


@dataclass
class Session:
    """One invocation.

    Attributes:
        orchestrator: makes the orchestrator of an installation; the registered one by default.
    """

    orchestrator: Callable[[Installation], Orchestrator] = field(default=_registered)
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
    def settings(self) -> Settings:
        """What the environment says."""
        return Settings()

    @cached_property
    def warehouse(self) -> Warehouse:
        """The warehouse of the installation, which must have been set up."""
        from chandlery.app.opening import open_warehouse  # noqa: PLC0415 - slow to import

        return self._keep(open_warehouse(self.settings))

    @cached_property
    def installation(self) -> Installation:
        """The installation, which must have been set up."""
        from chandlery.app.configuration import Configuration  # noqa: PLC0415 - slow to import
        from chandlery.app.installation import Installation  # noqa: PLC0415 - slow to import

        return Installation(self.settings, Configuration(self.settings.config), self.warehouse)

    def create(self) -> tuple[Installation, SyncReport]:
        """Set up the installation; see ``Installation.create``."""
        from chandlery.app.installation import Installation  # noqa: PLC0415 - slow to import

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
