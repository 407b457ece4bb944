"""Runs the pipeline in this process for the command line, as runs that the web UI shows.

Not here: what a run does (``assets``), and runs that the daemon launches (``schedules``, ``sensors``).
"""

from __future__ import annotations

import io
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, redirect_stderr
from datetime import datetime, timedelta
from typing import TextIO

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from assets.quarantine import after_release, release_events
from assets.reference import SYMBOLS, register_symbols
from assets.rollups import derived_events
from assets.tags import run_tags
from chandlery.app.installation import Installation
from chandlery.app.orchestrator import Listener, RunRecord
from chandlery.app.ui_token import ui_token
from chandlery.ingest.gate import Gate
from chandlery.ingest.plan import IngestPlan
from chandlery.ingest.validate import PartitionResult
from chandlery.instruments.registry import Instrument, list_instruments
from chandlery.rollups.refresh import Derived
from chandlery.rollups.stale import read_staleness
from chandlery.settings import Settings
from pipelines import serve
from pipelines.definitions import build_defs, gate_resource
from pipelines.instance import open_instance, prepare_home
from pipelines.interruptions import cancelled_by_interruption
from pipelines.jobs import derive_job_name, ingest_job_name
from pipelines.partitions import neighbours, range_tags
from pipelines.ui_lock import daemon_lease, ui_lock
from pipelines.unfinished_runs import close_abandoned_runs, close_dead_runs, process_tag

_QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}
#: How the text of an error of ours begins in Dagster's records.
_OURS = re.compile(r"^chandlery\.errors\.\w+: ")
#: How Dagster begins to print that it could not store an event.
_LOST_EVENT = ("Exception while writing logger call to event log", "Exception while storing event batch")
_INSTANT = timedelta(microseconds=1)


class DagsterOrchestrator:
    """Runs jobs in process.

    Args:
        installation: whose pipeline it is.
        instance: opens the Dagster instance that records the runs; the installation's own by default.
    """

    def __init__(
        self,
        installation: Installation,
        instance: Callable[[Settings], AbstractContextManager[dg.DagsterInstance]] = open_instance,
    ) -> None:
        self._installation = installation
        self._open_instance = instance

    def prepare(self) -> None:
        """See ``chandlery.app.orchestrator.Orchestrator``."""
        with self._open_instance(self._installation.settings) as instance:
            self._register(instance)

    def gate(self, max_rejected_share: float | None = None) -> Gate:
        """See ``chandlery.app.orchestrator.Orchestrator``."""
        return gate_resource(self._installation.universe).get(max_rejected_share=max_rejected_share)

    def ingest(self, plan: IngestPlan, listener: Listener) -> Sequence[RunRecord]:
        """See ``chandlery.app.orchestrator.Orchestrator``."""
        defs = build_defs(self._installation.configuration, resource_overrides={"listener": listener})
        with self._open_instance(self._installation.settings) as instance:
            self._register(instance)
            symbols = instance.get_dynamic_partitions(SYMBOLS)
            records = []
            job = defs.resolve_job_def(ingest_job_name(plan.timeframe))
            for tags, ranges in plan_runs(plan, symbols):
                config = {"ops": {plan.timeframe.table: {"config": _config(plan, ranges)}}, "loggers": _QUIET}
                asked = [plan.options.provider or instrument.provider for instrument in ranges]
                known = run_tags(plan.timeframe, [instrument.symbol for instrument in ranges], asked)
                records.append(_run(job, instance, tags | known, config))
            with self._installation.warehouse.connection() as connection:
                stale = read_staleness(connection, plan.timeframe)
            if stale.due or stale.waiting:
                job = defs.resolve_job_def(derive_job_name(plan.timeframe))
                records.append(_run(job, instance, {}, {"loggers": _QUIET}))
        return records

    def record_release(self, result: PartitionResult, reason: str, derived: Sequence[Derived]) -> None:
        """See ``chandlery.app.orchestrator.Orchestrator``."""
        with self._open_instance(self._installation.settings) as instance:
            for event in (*release_events(result, reason), *derived_events(derived)):
                instance.report_runless_asset_event(event)
            for event in after_release(instance, self._installation.warehouse, result):
                instance.report_runless_asset_event(event)

    def serve(self, host: str, port: int, allowed_hosts: Sequence[str] = ()) -> int:
        """See ``chandlery.app.orchestrator.Orchestrator``."""
        settings = self._installation.settings
        token, home = ui_token(settings.home), prepare_home(settings)
        address = serve.address(host, port)
        with ui_lock(home, address) as lock, daemon_lease(self._installation.warehouse.database, port) as place:
            self.prepare()
            with self._open_instance(settings) as instance:
                close_abandoned_runs(instance)
            return serve.serve(home, host, port, token=token, lock=lock, place=place, allowed_hosts=allowed_hosts)

    def _register(self, instance: dg.DagsterInstance) -> None:
        close_dead_runs(instance)
        with self._installation.warehouse.connection() as connection:
            known = list_instruments(connection)
        # Symbols of one calendar side by side, so that a scheduled run of all of them is one rectangle.
        register_symbols(instance, [i.symbol for i in sorted(known, key=lambda i: i.calendar)])


def plan_runs(
    plan: IngestPlan, symbols: Sequence[str]
) -> Iterator[tuple[dict[str, str], Mapping[Instrument, tuple[datetime, datetime]]]]:
    """Yield the tags and the ranges of each run: one for all neighbouring symbols with the same windows.

    Args:
        plan: what to ingest.
        symbols: of all partitions, in Dagster's order.
    """
    by_windows: dict[tuple[str, str], dict[str, Instrument]] = defaultdict(dict)
    for instrument, (start, end) in plan.ranges.items():
        windows = plan.timeframe.window_of(start).key, plan.timeframe.window_of(end - _INSTANT).key
        by_windows[windows][instrument.symbol] = instrument
    for (first, last), instruments in by_windows.items():
        for group in neighbours(list(instruments), symbols):
            ranges = {instruments[symbol]: plan.ranges[instruments[symbol]] for symbol in group}
            yield range_tags(group[0], group[-1], first, last), ranges


def _config(plan: IngestPlan, ranges: Mapping[Instrument, tuple[datetime, datetime]]) -> dict[str, object]:
    options = plan.options
    return {
        "provider": options.provider,
        "options": dict(options.provider_options),
        "ranges": {i.symbol: [start.isoformat(), end.isoformat()] for i, (start, end) in ranges.items()},
        "max_rejected_share": plan.max_rejected_share,
        "refresh": options.refresh,
        "replay_since": options.replay_since and options.replay_since.isoformat(),
    }


def _run(
    job: dg.JobDefinition, instance: dg.DagsterInstance, tags: Mapping[str, str], config: Mapping[str, object]
) -> RunRecord:
    tags = {**tags, **process_tag()}
    with redirect_stderr(_WithoutLostEvents(sys.stderr)), cancelled_by_interruption(instance) as run_id:
        result = job.execute_in_process(
            instance=instance, tags=tags, run_config=config, raise_on_error=False, run_id=run_id
        )
    if result.success:
        return RunRecord(result.run_id, succeeded=True, error=None)
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data is not None:  # raised by the asset, after the listener heard all results
                text = data.user_failure_data.description
                return RunRecord(result.run_id, succeeded=False, error=text, reported=True)
            causes = list(_chain(data.error))
            return RunRecord(result.run_id, succeeded=False, error=_describe(causes) or event.message)
    return RunRecord(result.run_id, succeeded=False, error="the run failed before its first step")


def _chain(error: SerializableErrorInfo | None) -> Iterator[SerializableErrorInfo]:
    """Yield ``error`` and what it was raised from, one after another; Dagster wraps what was raised in a step."""
    while error is not None:
        yield error
        error = error.cause or error.context


def _describe(causes: Sequence[SerializableErrorInfo]) -> str:
    """Return the text of the first error that is one of ours, which says what to do; otherwise of the first raised."""
    for cause in causes:
        text, count = _OURS.subn("", cause.message.strip())
        if count:
            return text
    return causes[-1].message.strip().partition("\n")[0] if causes else ""


class _WithoutLostEvents(io.TextIOBase):
    """A stream that leaves out what Dagster prints before it raises the same: that it could not store an event."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write ``text``, unless it says that an event was lost."""
        return len(text) if text.startswith(_LOST_EVENT) else self._stream.write(text)

    def flush(self) -> None:
        """See ``io.TextIOBase``."""
        self._stream.flush()

    def isatty(self) -> bool:
        """See ``io.TextIOBase``."""
        return self._stream.isatty()
