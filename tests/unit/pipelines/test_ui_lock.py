"""One web UI for each home: the second says which runs, and a kill leaves nothing that keeps the next from starting."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from chandlery.errors import UsageError
from pipelines.ui_lock import FILE_NAME, RunningUi, ui_lock

HOLD = """
import sys
from pathlib import Path
from pipelines.ui_lock import ui_lock
with ui_lock(Path(sys.argv[1]), "http://127.0.0.1:3999"):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(home: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_says_which_runs_and_since_when(tmp_path: Path) -> None:
    with hold(tmp_path) as first:
        since = psutil.Process(first.pid).create_time()
        with pytest.raises(UsageError, match="runs already") as refused, ui_lock(tmp_path, "http://127.0.0.1:4000"):
            pass
        first.kill()
    assert f"http://127.0.0.1:3999, process {first.pid}, since " in str(refused.value)
    assert re.search(r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", str(refused.value))
    assert json.loads((tmp_path / FILE_NAME).read_text())["since"] == pytest.approx(since, abs=0.5)


def test_a_number_that_another_process_bears_by_now_names_nobody() -> None:
    me = psutil.Process()
    assert RunningUi("http://127.0.0.1:3999", me.pid, me.create_time()).lives
    assert not RunningUi("http://127.0.0.1:3999", me.pid, me.create_time() - 100).lives


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_after_a_kill_the_next_one_starts(how: signal.Signals, tmp_path: Path) -> None:
    with hold(tmp_path) as first:
        first.send_signal(how)
        first.wait()
    with ui_lock(tmp_path, "http://127.0.0.1:4000"):
        assert json.loads((tmp_path / FILE_NAME).read_text())["address"] == "http://127.0.0.1:4000"


@pytest.mark.parametrize("content", ["", "{", "null", '{"pid": 1}', "x" * 10_000])
def test_a_damaged_file_keeps_nobody_from_starting(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    with ui_lock(tmp_path, "http://127.0.0.1:4000"):
        assert json.loads((tmp_path / FILE_NAME).read_text())["address"] == "http://127.0.0.1:4000"
