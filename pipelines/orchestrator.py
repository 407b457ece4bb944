"""Runs the pipeline in this process for the command line, as runs that the web UI shows.

Dagster is imported where it is needed: an ingest that would change nothing needs no run. Not here: the runs
(``command_runs``), and what a run does (``assets``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from chandlery.app.installation import Installation
from chandlery.app.orchestrator import Listener, RunRecord
from chandlery.app.ui_token import ui_token
from chandlery.core.timeframe import Timeframe
from chandlery.ingest.gate import Gate
from chandlery.ingest.plan import IngestPlan
from chandlery.ingest.result import PartitionResult
from chandlery.ingest.unchanged import find_unchanged
from chandlery.rollups.refresh import Derived
from chandlery.settings import Settings
from expectations.limits import GateLimits
from expectations.rules import rules_version

if TYPE_CHECKING:
    import dagster as dg


def _open_instance(settings: Settings) -> AbstractContextManager[dg.DagsterInstance]:
    from pipelines.instance import open_instance  # noqa: PLC0415 - slow to import

    return open_instance(settings)


class DagsterOrchestrator:
    """Runs jobs in process.

    Args:
        installation: whose pipeline it is.
        instance: opens the Dagster instance that records the runs; the installation's own by default.
    """

    def __init__(
        self,
        installation: Installation,
        instance: Callable[[Settings], AbstractContextManager[dg.DagsterInstance]] = _open_instance,
    ) -> None:
        self._installation = installation
        self._open_instance = instance

    def prepare(self) -> None:
        """See ``chandlery.app.orchestrator.Orchestrator``."""
        from pipelines.command_runs import register  # noqa: PLC0415 - slow to import

        with self._open_instance(self._installation.settings) as instance:
            register(self._installation, instance)

    def forget(self, symbols: Sequence[str]) -> None:
        """See ``chandlery.app.orchestrator.Orchestrator``."""
        from assets.reference import forget_symbols  # noqa: PLC0415 - slow to import
        from pipelines.command_runs import register  # noqa: PLC0415 - slow to import

        with self._open_instance(self._installation.settings) as instance:
            register(self._installation, instance)
            forget_symbols(instance, symbols)

    def gate(self, max_rejected_share: float | None = None) -> Gate:
        """See ``chandlery.app.orchestrator.Orchestrator``."""
        from pipelines.definitions import gate_resource  # noqa: PLC0415 - slow to import

        return gate_resource(self._installation.universe).get(max_rejected_share=max_rejected_share)

    def ingest(self, plan: IngestPlan, listener: Listener) -> Sequence[RunRecord]:
        """See ``chandlery.app.orchestrator.Orchestrator``."""
        gate = self._installation.universe.gate
        limits = GateLimits(max_rejected_share=gate.max_rejected_share, max_rejected_rows=gate.max_rejected_rows)
        providers = self._installation.providers
        unchanged = find_unchanged(self._installation.warehouse, providers, plan, rules=rules_version(limits))
        if unchanged is not None:
            listener.planned(len(unchanged))
            for result in unchanged:
                listener.ingested(result)
            return []

        from pipelines.command_runs import run_ingest  # noqa: PLC0415 - slow to import

        with self._open_instance(self._installation.settings) as instance:
            return run_ingest(self._installation, instance, plan, listener)

    def record_release(self, result: PartitionResult, reason: str, derived: Sequence[Derived]) -> None:
        """See ``chandlery.app.orchestrator.Orchestrator``."""
        from assets.quarantine import after_release, release_events  # noqa: PLC0415 - slow to import
        from assets.rollups import derived_events  # noqa: PLC0415 - slow to import

        with self._open_instance(self._installation.settings) as instance:
            for event in (*release_events(result, reason), *derived_events(derived)):
                instance.report_runless_asset_event(event)
            for event in after_release(instance, self._installation.warehouse, result):
                instance.report_runless_asset_event(event)

    def record_findings(self, timeframe: Timeframe) -> None:
        """See ``chandlery.app.orchestrator.Orchestrator``."""
        from assets.checks import evaluate_findings  # noqa: PLC0415 - slow to import

        with self._open_instance(self._installation.settings) as instance:
            instance.report_runless_asset_event(evaluate_findings(self._installation.warehouse, timeframe))

    def serve(self, host: str, port: int, allowed_hosts: Sequence[str] = ()) -> int:
        """See ``chandlery.app.orchestrator.Orchestrator``."""
        from pipelines import serve  # noqa: PLC0415 - slow to import
        from pipelines.instance import prepare_home  # noqa: PLC0415 - slow to import
        from pipelines.ui_lock import daemon_lease, ui_lock  # noqa: PLC0415 - slow to import
        from pipelines.unfinished_runs import close_abandoned_runs  # noqa: PLC0415 - slow to import

        settings = self._installation.settings
        token, home = ui_token(settings.home), prepare_home(settings)
        address = serve.address(host, port)
        with ui_lock(home, address) as lock, daemon_lease(self._installation.warehouse.database, port) as place:
            self.prepare()
            with self._open_instance(settings) as instance:
                close_abandoned_runs(instance)
            return serve.serve(home, host, port, token=token, lock=lock, place=place, allowed_hosts=allowed_hosts)
