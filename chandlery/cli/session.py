"""What the commands of one invocation share: the installation, and who runs the pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import typer

from chandlery.installation import Installation
from chandlery.orchestrator import Orchestrator, load_orchestrator


@dataclass
class Session:
    """One invocation.

    Attributes:
        orchestrator: makes the orchestrator of an installation; the registered one by default.
    """

    orchestrator: Callable[[Installation], Orchestrator] = field(default=load_orchestrator)

    @classmethod
    def of(cls, ctx: typer.Context) -> Session:
        """Return the session of a command: the object that the application was called with, or a new one."""
        root: Any = ctx.find_root()
        if root.obj is None:
            root.obj = cls()
        session: Session = root.obj
        return session

    @cached_property
    def installation(self) -> Installation:
        """The installation, which must have been set up."""
        return Installation.open()
