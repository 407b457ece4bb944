"""A run in this process that is interrupted ends as cancelled: nobody tries it again, and nobody is told of a failure.

Dagster takes Ctrl-C and SIGTERM within a run for a failure, unless somebody has asked to cancel the run before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import dagster as dg

_INTERRUPTIONS = frozenset({"DagsterExecutionInterruptedError", "KeyboardInterrupt"})
_WHY = "interrupted by a person or by the end of the session"


@contextmanager
def cancelled_by_interruption(instance: dg.DagsterInstance) -> Iterator[str]:
    """Yield the number for a run in the block, which ends as cancelled if it is interrupted.

    Raises:
        KeyboardInterrupt: at the end of the block, where the run was interrupted.
    """
    run_id = str(uuid4())
    interrupted = False

    def hear(entry: dg.EventLogEntry) -> None:
        nonlocal interrupted
        if _says_interrupted(entry):
            interrupted = True
            _cancel(instance, run_id)  # before Dagster looks whether somebody asked for it

    instance.add_event_listener(run_id, hear)
    try:
        yield run_id
    except KeyboardInterrupt:
        interrupted = True
    finally:
        if interrupted:
            run = instance.get_run_by_id(run_id)
            if run is not None and run.status is not dg.DagsterRunStatus.CANCELED:
                instance.report_run_canceled(run, _WHY)
    if interrupted:
        raise KeyboardInterrupt


def _cancel(instance: dg.DagsterInstance, run_id: str) -> None:
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        instance.report_run_canceling(run, _WHY)


def _says_interrupted(entry: dg.EventLogEntry) -> bool:
    """Whether an event says that a step, or the run outside of any step, was interrupted."""
    event = entry.dagster_event
    if event is None:
        return False
    if event.is_step_failure:
        error = event.step_failure_data.error
    elif event.is_job_failure:
        error = event.job_failure_data.error
    else:
        return False
    while error is not None and error.cls_name not in _INTERRUPTIONS:  # Dagster wraps what was raised first
        error = error.cause or error.context
    return error is not None
