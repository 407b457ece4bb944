"""However the process that serves the web UI ends, nothing that it started is left, and its log is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pipelines import watchdog as module
from tests.support import wait_until

#: Starts a child that starts a child, which may stay whatever they are asked; then waits to be ended.
SCRIPT = """
import os, subprocess, sys
from pathlib import Path
from pipelines.watchdog import watchdog

asked = "SIG_IGN" if sys.argv[2] == "stubborn" else "SIG_DFL"
wait = f"import signal, sys; signal.signal(15, signal.{asked}); print(sys.argv[1], flush=True); signal.pause()"
parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {wait!r}, 'grandchild']);" + wait
folder = Path(sys.argv[1])
(folder / "private").mkdir(exist_ok=True)
lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
with watchdog(folder / "ui.log", folder / "private", lock) as dog:
    subprocess.Popen([sys.executable, "-c", parent, "child"], stdout=dog.output, process_group=dog.process.pid)
    print(dog.process.pid, flush=True)
    sys.stdin.readline()
"""


def start(folder: Path, children: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), children],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def group(number: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == number and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


@pytest.mark.parametrize(
    ("how", "children"),
    [("end", "meek"), ("SIGTERM", "meek"), ("SIGHUP", "meek"), ("SIGINT", "meek"), ("SIGKILL", "stubborn")],
)
def test_what_it_started_ends_with_it(how: str, children: str, tmp_path: Path) -> None:
    log = tmp_path / "ui.log"
    with start(tmp_path, children) as ui:
        assert ui.stdin is not None
        assert ui.stdout is not None
        number = int(ui.stdout.readline())
        wait_until(lambda: log.exists() and {"child", "grandchild"} <= set(log.read_text().split()), "both run")
        assert len(group(number)) == 3
        if how == "end":
            ui.stdin.write("end\n")
            ui.stdin.flush()
        else:
            ui.send_signal(getattr(signal, how))
        wait_until(lambda: group(number) == [], "nothing of the group is left")
    assert not (tmp_path / "private").exists()


def test_a_log_is_kept_across_starts_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "ui.log"
    for line in ("the first\n", "the second\n"):
        write(log, line)
    assert [line for line in log.read_text().splitlines() if not line.startswith("----")] == ["the first", "the second"]
    assert log.read_text().count("the web UI starts") == 2
    write(log, "x" * 999 + "\n", times=module.LOG_BYTES // 1000 * 6)
    logs = sorted(tmp_path.glob("ui.log*"))
    assert [path.name for path in logs] == ["ui.log", "ui.log.1", "ui.log.2", "ui.log.3"]
    assert all(path.stat().st_size <= module.LOG_BYTES for path in logs)


def write(log: Path, text: str, times: int = 1) -> None:
    lock = os.open(log.with_name("lock"), os.O_RDWR | os.O_CREAT)
    with module.watchdog(log, log.with_name("private"), lock) as dog:
        for _ in range(times):
            os.write(dog.output, text.encode())
    os.close(lock)
