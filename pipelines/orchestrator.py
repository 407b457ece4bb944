"""Runs the pipeline in this process for the command line, as runs that the web UI shows (``chandlery.orchestrator``).

Not here: what a run does (``assets``), and runs that the daemon launches (``schedules``, ``sensors``).
"""

from __future__ import annotations

import os
import re
import socket
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import dagster as dg
import psutil
from dagster_shared.error import SerializableErrorInfo

from assets.reference import SYMBOLS, register_symbols
from chandlery.app.installation import Installation
from chandlery.app.orchestrator import Listener, RunRecord
from chandlery.app.ui_token import ui_token
from chandlery.ingest.request import IngestPlan
from chandlery.instruments.registry import Instrument, list_instruments
from chandlery.rollups.stale import stale_version
from pipelines import serve
from pipelines.definitions import build_defs
from pipelines.instance import open_instance, prepare_home
from pipelines.jobs import derive_job_name, ingest_job_name
from pipelines.partitions import neighbours, range_tags

#: Tag of a run in this process: host and process id.
_PROCESS = "chandlery/process"
_INTERRUPTIONS = frozenset({"DagsterExecutionInterruptedError", "KeyboardInterrupt"})
_QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}
_INSTANT = timedelta(microseconds=1)


class DagsterOrchestrator:
    """Runs jobs in process.

    Args:
        installation: for which.
    """

    def __init__(self, installation: Installation) -> None:
        self._installation = installation

    def prepare(self) -> None:
        """See ``chandlery.orchestrator.Orchestrator``."""
        with open_instance(self._installation.settings) as instance:
            self._register(instance)

    def ingest(self, order: IngestPlan, listener: Listener) -> Sequence[RunRecord]:
        """See ``chandlery.orchestrator.Orchestrator``."""
        defs = build_defs(
            self._installation.universe, self._installation.providers, resource_overrides={"listener": listener}
        )
        with open_instance(self._installation.settings) as instance:
            self._register(instance)
            symbols = instance.get_dynamic_partitions(SYMBOLS)
            records = []
            job = defs.resolve_job_def(ingest_job_name(order.timeframe))
            for tags, ranges in plan_runs(order, symbols):
                config = {"ops": {order.timeframe.table: {"config": _config(order, ranges)}}, "loggers": _QUIET}
                records.append(_run(job, instance, tags, config))
            with self._installation.warehouse.connection() as connection:
                stale = stale_version(connection, order.timeframe) is not None
            if stale:
                job = defs.resolve_job_def(derive_job_name(order.timeframe))
                records.append(_run(job, instance, {}, {"loggers": _QUIET}))
        return records

    def serve(self, host: str, port: int, allowed_hosts: Sequence[str] = ()) -> int:
        """See ``chandlery.orchestrator.Orchestrator``."""
        self.prepare()
        settings = self._installation.settings
        token = ui_token(settings.home)
        return serve.serve(prepare_home(settings), host, port, token=token, allowed_hosts=allowed_hosts)

    def _register(self, instance: dg.DagsterInstance) -> None:
        close_dead_runs(instance)
        with self._installation.warehouse.connection() as connection:
            known = list_instruments(connection)
        # Symbols of one calendar side by side, so that a scheduled run of all of them is one rectangle.
        register_symbols(instance, [i.symbol for i in sorted(known, key=lambda i: i.calendar)])


def plan_runs(
    order: IngestPlan, symbols: Sequence[str]
) -> Iterator[tuple[dict[str, str], Mapping[Instrument, tuple[datetime, datetime]]]]:
    """Yield the tags and the ranges of each run: one for all neighbouring symbols that want the same windows.

    Args:
        order: what to ingest.
        symbols: all there are, in Dagster's order.
    """
    by_windows: dict[tuple[str, str], dict[str, Instrument]] = defaultdict(dict)
    for instrument, (start, end) in order.ranges.items():
        windows = order.timeframe.window_of(start).key, order.timeframe.window_of(end - _INSTANT).key
        by_windows[windows][instrument.symbol] = instrument
    for (first, last), wanted in by_windows.items():
        for group in neighbours(list(wanted), symbols):
            ranges = {wanted[symbol]: order.ranges[wanted[symbol]] for symbol in group}
            yield range_tags(group[0], group[-1], first, last), ranges


def _config(order: IngestPlan, ranges: Mapping[Instrument, tuple[datetime, datetime]]) -> dict[str, object]:
    return {
        "provider": order.provider,
        "options": dict(order.options),
        "ranges": {i.symbol: [start.isoformat(), end.isoformat()] for i, (start, end) in ranges.items()},
        "max_rejected_share": order.max_rejected_share,
        "refresh": order.refresh,
        "replay_since": order.replay_since and order.replay_since.isoformat(),
    }


def _run(
    job: dg.JobDefinition, instance: dg.DagsterInstance, tags: Mapping[str, str], config: Mapping[str, object]
) -> RunRecord:
    tags = {**tags, _PROCESS: f"{socket.gethostname()}/{os.getpid()}"}
    result = job.execute_in_process(instance=instance, tags=tags, run_config=config, raise_on_error=False)
    if result.success:
        return RunRecord(result.run_id, succeeded=True, error=None)
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data is not None:  # raised by the asset, after all outcomes were told
                return RunRecord(result.run_id, succeeded=False, error=data.user_failure_data.description, told=True)
            cause = _cause(data.error)
            if cause is not None and cause.cls_name in _INTERRUPTIONS:  # Dagster swallows Ctrl-C and reports a failure
                raise KeyboardInterrupt
            text = re.sub(r"^chandlery\.errors\.\w+: ", "", cause.message.strip()) if cause else event.message
            return RunRecord(result.run_id, succeeded=False, error=text)
    return RunRecord(result.run_id, succeeded=False, error="the run failed before its first step")


def _cause(error: SerializableErrorInfo | None) -> SerializableErrorInfo | None:
    """Return what was raised first: Dagster wraps it."""
    while error is not None and error.cause is not None:
        error = error.cause
    return error


def close_dead_runs(instance: dg.DagsterInstance) -> None:
    """Mark runs of the command line whose process was killed as failed: nobody else watches over them."""
    host = socket.gethostname()
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        where, _, pid = run.tags.get(_PROCESS, "").partition("/")
        if where == host and not psutil.pid_exists(int(pid)):
            instance.report_run_failed(
                run, "its process was killed; what it had published stays, and running again completes it"
            )
