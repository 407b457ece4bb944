"""The interface between the command line and an orchestrator, which runs the pipeline.

The library does not know any orchestrator; the package that brings one registers it under the entry-point group
``chandlery.orchestrator``. Not here: the running itself (``pipelines.orchestrator``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Protocol

from chandlery.app.installation import Installation
from chandlery.core.own_packages import PIPELINE, load_own
from chandlery.core.timeframe import Timeframe
from chandlery.errors import ConfigurationError
from chandlery.ingest.fetch import Progress
from chandlery.ingest.gate import Gate
from chandlery.ingest.plan import IngestPlan
from chandlery.ingest.result import PartitionResult
from chandlery.rollups.refresh import Derived


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run, as the orchestrator knows it.

    Attributes:
        run_id: its id in the user interface.
        succeeded: whether all of it did.
        error: what went wrong, or None.
        reported: whether the listener heard of all that went wrong, partition by partition.
    """

    run_id: str
    succeeded: bool
    error: str | None
    reported: bool = False


class Listener(Protocol):
    """Hears what a run does while it runs."""

    def planned(self, partitions: int) -> None:
        """Hear that so many partitions are about to be ingested."""
        ...

    def fetched(self, progress: Progress) -> None:
        """Hear how far the fetching from a remote provider is."""
        ...

    def ingested(self, result: PartitionResult) -> None:
        """Hear what became of one partition."""
        ...

    def derived(self, derived: Derived) -> None:
        """Hear of one step of rolling up."""
        ...


class SilentListener:
    """Hears nothing."""

    def planned(self, partitions: int) -> None:
        """See ``Listener``."""

    def fetched(self, progress: Progress) -> None:
        """See ``Listener``."""

    def ingested(self, result: PartitionResult) -> None:
        """See ``Listener``."""

    def derived(self, derived: Derived) -> None:
        """See ``Listener``."""


class Orchestrator(Protocol):
    """Runs the pipeline so that its own user interface shows what ran."""

    def prepare(self) -> None:
        """Set up the orchestrator's own storage and make known which instruments there are. Idempotent."""
        ...

    def forget(self, symbols: Sequence[str]) -> None:
        """Make known which instruments there are, and forget those of these symbols, which are no more. Idempotent."""
        ...

    def gate(self, max_rejected_share: float | None = None) -> Gate:
        """Return the gate by which bars are audited before they are published.

        Args:
            max_rejected_share: overrides the configured limit, 0 to 1.
        """
        ...

    def ingest(self, plan: IngestPlan, listener: Listener) -> Sequence[RunRecord]:
        """Ingest, then derive what became stale; return once all is done, with a record of each run.

        What failed is in the records, and ``listener`` heard of it; only what keeps a run from starting is raised.
        """
        ...

    def record_release(self, result: PartitionResult, reason: str, derived: Sequence[Derived]) -> None:
        """Record what was published outside of a run: a batch that a person released from quarantine.

        Args:
            result: what became of its partition.
            reason: which the person gave.
            derived: the steps that brought derived bars in line with it.
        """
        ...

    def record_findings(self, timeframe: Timeframe) -> None:
        """Record whether findings are open, of bars of ``timeframe``, after a person dismissed one outside of a run."""
        ...

    def serve(self, host: str, port: int, allowed_hosts: Sequence[str] = ()) -> int:
        """Serve the user interface until interrupted; return the exit code.

        Args:
            host: address to listen on.
            port: to listen on.
            allowed_hosts: other names by which the server is called, for example those of a proxy before it.
        """
        ...


def load_orchestrator(installation: Installation) -> Orchestrator:
    """Return the registered orchestrator for ``installation``.

    Raises:
        ConfigurationError: none is registered: the package was not installed, only put on the path; or this process
            has imported a module that is called like one of our packages.
    """
    load_own(*PIPELINE)
    registered = entry_points(group="chandlery.orchestrator")
    if not registered:
        raise ConfigurationError("no orchestrator is registered; install the project with `make` or `pip install -e .`")
    orchestrator: Orchestrator = next(iter(registered)).load()(installation)
    return orchestrator
