"""A run whose process was killed does not stay unfinished for ever; nobody else's run is touched."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster import DagsterRunStatus as Status

from pipelines.unfinished_runs import close_abandoned_runs, close_dead_runs, process_tag

UNFINISHED = [Status.NOT_STARTED, Status.STARTING, Status.STARTED, Status.CANCELING]
TAG = next(iter(process_tag()))


@dg.job
def nothing() -> None:
    pass


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


def new_run(instance: dg.DagsterInstance, status: Status, tags: dict[str, str]) -> str:
    return instance.create_run_for_job(nothing, status=status, tags=tags).run_id


def status_of(instance: dg.DagsterInstance, run_id: str) -> Status:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


@pytest.fixture(scope="module")
def killed() -> str:
    """The tag of a process that was killed."""
    code = "from pipelines.unfinished_runs import process_tag; print(*process_tag().values(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        tag = process.stdout.readline().strip()
        process.kill()
    return tag


@pytest.mark.parametrize("status", UNFINISHED)
def test_a_run_of_a_killed_command_is_closed_whatever_it_had_come_to(
    status: Status, killed: str, instance: dg.DagsterInstance
) -> None:
    run_id = new_run(instance, status, {TAG: killed})
    close_dead_runs(instance)
    assert status_of(instance, run_id) is (Status.CANCELED if status is Status.CANCELING else Status.FAILURE)


def test_a_number_that_belongs_to_another_process_by_now_does_not_keep_a_run_alive(
    instance: dg.DagsterInstance,
) -> None:
    reused = f"{socket.gethostname()}/{psutil.Process().pid}/1000000000"
    run_id = new_run(instance, Status.NOT_STARTED, {TAG: reused})
    close_dead_runs(instance)
    assert status_of(instance, run_id) is Status.FAILURE


def test_runs_of_living_processes_and_of_other_machines_are_left_alone(
    killed: str, instance: dg.DagsterInstance
) -> None:
    elsewhere = "another-machine/" + killed.partition("/")[2]
    tags = [process_tag(), {TAG: elsewhere}, {}]
    runs = [new_run(instance, Status.NOT_STARTED, each) for each in tags]
    close_dead_runs(instance)
    close_abandoned_runs(instance)
    assert [status_of(instance, run_id) for run_id in runs] == [Status.NOT_STARTED] * 3


@pytest.mark.parametrize("status", UNFINISHED)
def test_a_run_whose_code_server_is_gone_is_closed_and_that_of_a_living_one_is_not(
    status: Status, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    paths = [tmp_path / "gone", tmp_path / "left", tmp_path / "here"]
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(paths[1]))  # nobody listens there any more
    with socket.socket(socket.AF_UNIX) as here:
        here.bind(str(paths[2]))
        here.listen()
        infos = [{"host": "localhost", "socket": str(path)} for path in paths] + [{"host": "code", "port": 4000}]
        runs = [new_run(instance, status, {".dagster/grpc_info": json.dumps(info)}) for info in infos]
        close_abandoned_runs(instance)
    closed = Status.CANCELED if status is Status.CANCELING else Status.FAILURE
    assert [status_of(instance, run_id) for run_id in runs] == [closed, closed, status, status]
