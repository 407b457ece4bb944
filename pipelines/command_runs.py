"""The runs of the command line: what each takes, and how it runs in this process.

Not here: the commands' way to them (``orchestrator``), and runs that the daemon launches (``schedules``, ``sensors``).
"""

from __future__ import annotations

import io
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from datetime import datetime, timedelta
from typing import TextIO

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from assets.reference import SYMBOLS, register_symbols
from assets.tags import run_tags
from chandlery.app.installation import Installation
from chandlery.app.orchestrator import Listener, RunRecord
from chandlery.errors import UnknownSymbolError
from chandlery.ingest.plan import IngestPlan
from chandlery.instruments.registry import Instrument, list_instruments
from chandlery.rollups.stale import read_staleness
from pipelines.definitions import build_defs
from pipelines.interruptions import cancelled_by_interruption
from pipelines.jobs import derive_job_name, ingest_job_name
from pipelines.partitions import neighbours, range_tags
from pipelines.unfinished_runs import close_dead_runs, process_tag

_QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}
#: How the text of an error of ours begins in Dagster's records.
_OURS = re.compile(r"^chandlery\.errors\.\w+: ")
#: How Dagster begins to print that it could not store an event.
_LOST_EVENT = ("Exception while writing logger call to event log", "Exception while storing event batch")
_INSTANT = timedelta(microseconds=1)


def run_ingest(
    installation: Installation, instance: dg.DagsterInstance, plan: IngestPlan, listener: Listener
) -> list[RunRecord]:
    """Ingest what a plan says, then derive what became stale; return a record of each run."""
    defs = build_defs(installation.configuration, resource_overrides={"listener": listener})
    register(installation, instance)
    symbols = instance.get_dynamic_partitions(SYMBOLS)
    if gone := sorted({instrument.symbol for instrument in plan.ranges} - set(symbols)):
        raise UnknownSymbolError(
            f"{' '.join(gone)}: renamed or removed while this command began; run it again with the present symbol"
        )
    records = []
    job = defs.resolve_job_def(ingest_job_name(plan.timeframe))
    for tags, ranges in plan_runs(plan, symbols):
        config = {"ops": {plan.timeframe.table: {"config": _config(plan, ranges)}}, "loggers": _QUIET}
        asked = [plan.options.provider or instrument.provider for instrument in ranges]
        known = run_tags(plan.timeframe, [instrument.symbol for instrument in ranges], asked)
        records.append(_run(job, instance, tags | known, config))
    with installation.warehouse.connection() as connection:
        stale = read_staleness(connection, plan.timeframe)
    if stale.due or stale.waiting:
        job = defs.resolve_job_def(derive_job_name(plan.timeframe))
        records.append(_run(job, instance, {}, {"loggers": _QUIET}))
    return records


def register(installation: Installation, instance: dg.DagsterInstance) -> None:
    """Close what runs of dead processes left open, and make known which instruments there are. Idempotent."""
    close_dead_runs(instance)
    with installation.warehouse.connection() as connection:
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
        "retract": options.retract,
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
