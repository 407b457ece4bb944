"""Runs that nobody carries out any more: their process was killed, before they started or while they ran.

Dagster learns of it only where its daemon launched the run and lives on; here the others are marked as failed, so that
they are tried again and nothing waits for them. What they had published stays.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping

import dagster as dg
import psutil

#: Tag of a run of the command line: host, process id, and when that process began.
_PROCESS = "chandlery/process"
#: Tag that Dagster gives to a run that it launches: on which code server.
_CODE_SERVER = ".dagster/grpc_info"
#: Statuses of runs that may still do something, or whose process was killed.
UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_KILLED = "its process was killed; what it had published stays, and running again completes it"


def process_tag() -> dict[str, str]:
    """Return the tag of a run in this process."""
    return {_PROCESS: f"{socket.gethostname()}/{os.getpid()}/{psutil.Process().create_time():.0f}"}


def close_dead_runs(instance: dg.DagsterInstance) -> None:
    """Mark the runs of the command line whose process was killed as failed, because nobody else watches over them."""
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        if _PROCESS in run.tags and _is_dead(run.tags[_PROCESS]):
            _close(instance, run)


def close_abandoned_runs(instance: dg.DagsterInstance) -> None:
    """Mark the runs whose code server is gone as failed: whoever started it was killed.

    Only for the one that is about to start a code server of this home. Runs on another machine are left alone, and runs
    that never came to a code server are given up by Dagster's daemon itself.
    """
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        if _PROCESS not in run.tags and _CODE_SERVER in run.tags and _is_gone(json.loads(run.tags[_CODE_SERVER])):
            _close(instance, run)


def _close(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    if run.status is dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, _KILLED)
    else:
        instance.report_run_failed(run, _KILLED)


def _is_dead(tag: str) -> bool:
    """Whether a process of this machine has ended; its number may belong to another by now."""
    host, pid, since = tag.split("/")
    if host != socket.gethostname():
        return False
    try:
        return bool(abs(psutil.Process(int(pid)).create_time() - float(since)) > 1)
    except psutil.Error:
        return True


def _is_gone(server: Mapping[str, object]) -> bool:
    """Whether nobody listens on a code server's unix socket any more."""
    path = server.get("socket")
    if not isinstance(path, str):
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) != 0
