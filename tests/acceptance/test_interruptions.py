"""Interrupting and killing the command line: it stops, says so, and running again completes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from chandlery.settings import Settings
from pipelines.instance import open_instance
from pipelines.unfinished_runs import close_dead_runs
from tests.support import wait_until

pytestmark = pytest.mark.slow
ORDER = ("ingest", "SIM/USD", "--timeframe", "1m", "--start", "2023-01-01", "--end", "2024-07-01")
PATIENCE = 300.0


@pytest.fixture
def environment(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    monkeypatch.setenv("CHANDLERY_DATABASE_URL", database_url)
    monkeypatch.setenv("CHANDLERY_HOME", str(tmp_path / "home"))
    environment = dict(os.environ)
    chandlery("init", environment=environment).communicate(timeout=PATIENCE)
    yield environment
    name = f"{psycopg.conninfo.conninfo_to_dict(database_url)['dbname']}_dagster"
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def chandlery(*arguments: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    code = "import sys; from chandlery.cli import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_until_some_bars_are_there(database_url: str, process: subprocess.Popen[str]) -> None:
    published = "SELECT count(*) FROM ops.publication WHERE timeframe = '1m'"
    with psycopg.connect(database_url, autocommit=True) as connection:
        wait_until(
            lambda: connection.execute(published).fetchone() != (0,) or process.poll() is not None,
            "bars are published",
            PATIENCE,
        )
    if process.poll() is not None:
        pytest.fail(f"it ended before it was interrupted: {process.communicate()[0]}")


def statuses() -> list[dg.DagsterRunStatus]:
    with open_instance(Settings()) as instance:
        return [run.status for run in instance.get_runs(dg.RunsFilter(job_name="ingest_1m"))]


@pytest.mark.parametrize(
    "how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["interrupted", "terminated", "killed"]
)
def test_an_ingest_that_is_cut_short_stops_and_running_again_completes_it(
    how: signal.Signals, environment: dict[str, str], database_url: str
) -> None:
    process = chandlery(*ORDER, environment=environment)
    wait_until_some_bars_are_there(database_url, process)
    os.killpg(process.pid, how)  # as a terminal does it: to all that it had started
    said = process.communicate(timeout=PATIENCE)[0]
    if how == signal.SIGKILL:
        assert process.returncode == -how
    else:
        assert process.returncode == 130, said
        lines = [line for line in said.splitlines() if " partitions, " not in line]  # its progress
        assert lines == ["error: interrupted; what was done stays, and the same command does the rest"]

    with psycopg.connect(database_url) as connection:
        counts = connection.execute(
            "SELECT (SELECT count(*) FROM market.bars_1m), (SELECT count(*) FROM market.bars_5m)"
        ).fetchone()
    assert counts is not None
    before, derived = counts
    assert before > 0
    assert derived == 0, "it went on to derive after it was told to stop"

    with open_instance(Settings()) as instance:
        close_dead_runs(instance)
    ended = dg.DagsterRunStatus.FAILURE if how == signal.SIGKILL else dg.DagsterRunStatus.CANCELED
    assert statuses() == [ended]
    if how == signal.SIGTERM:
        return

    again = chandlery(*ORDER, environment=environment)
    output = again.communicate(timeout=PATIENCE)[0]
    assert again.returncode == 0, output
    (line,) = [line for line in output.splitlines() if line.startswith("SIM/USD")]
    figures = dict(pair.split("=") for pair in line.split()[1:])
    assert int(figures["unchanged"]) == before
    assert figures["revised"] == "0"
    assert statuses() == [dg.DagsterRunStatus.SUCCESS, ended]
