"""However the process that serves the web UI ends, or is stopped, nothing that it started is left; its log is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipelines import watchdog as module
from tests.support import wait_until

#: Starts a child that starts a child, which may stay whatever they are asked; then waits to be ended.
SCRIPT = """
import os, subprocess, sys, threading, time
from pathlib import Path
from pipelines.watchdog import watchdog

asked = "SIG_IGN" if sys.argv[2] == "stubborn" else "SIG_DFL"
wait = f"import signal, sys; signal.signal(15, signal.{asked}); print(sys.argv[1], flush=True); signal.pause()"
parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {wait!r}, 'grandchild']);" + wait
folder = Path(sys.argv[1])
(folder / "private").mkdir(exist_ok=True)
lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
reading, writing = os.pipe()

def beat():
    while True:
        os.write(writing, b".")
        (folder / "beats").open("a").write(".")
        time.sleep(0.05)

threading.Thread(target=beat, daemon=True).start()
with watchdog(folder / "ui.log", folder / "private", lock, reading, float(sys.argv[3])) as dog:
    subprocess.Popen([sys.executable, "-c", parent, "child"], stdout=dog.output, process_group=dog.process.pid)
    print(dog.process.pid, flush=True)
    asked = sys.stdin.readline()
    print(dog.process.wait() if asked == "wait\\n" else dog.process.poll(), flush=True)
"""


def start(folder: Path, children: str, silence: float = 600) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), children, str(silence)],
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
    [
        ("end", "meek"),
        ("SIGTERM", "meek"),
        ("SIGHUP", "meek"),
        ("SIGINT", "meek"),
        pytest.param("SIGKILL", "stubborn", marks=pytest.mark.slow),
    ],
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


def test_it_ends_what_one_that_is_stopped_had_started_and_says_so(tmp_path: Path) -> None:
    log = tmp_path / "ui.log"
    with start(tmp_path, "meek", silence=2) as ui:
        assert ui.stdin is not None
        assert ui.stdout is not None
        number = int(ui.stdout.readline())
        wait_until(lambda: log.exists() and {"child", "grandchild"} <= set(log.read_text().split()), "both run")
        ui.send_signal(signal.SIGSTOP)
        wait_until(lambda: group(number) == [], "nothing of the group is left")
        assert "nothing was heard of the web UI for 2 seconds" in log.read_text()
        assert not (tmp_path / "private").exists()
        ui.send_signal(signal.SIGCONT)
        ui.stdin.write("wait\n")
        ui.stdin.flush()
        assert int(ui.stdout.readline()) == module.UNHEARD


@pytest.mark.slow
def test_it_leaves_one_alone_that_lives_also_after_all_stood_still(tmp_path: Path) -> None:
    """A machine that sleeps stops both: what counts is how long the watchdog itself ran without a beat."""
    silence = 3.0
    log = tmp_path / "ui.log"
    with start(tmp_path, "meek", silence) as ui:
        assert ui.stdin is not None
        assert ui.stdout is not None
        number = int(ui.stdout.readline())
        wait_until(lambda: log.exists() and {"child", "grandchild"} <= set(log.read_text().split()), "both run")
        dog = psutil.Process(number)
        dog.suspend()
        ui.send_signal(signal.SIGSTOP)
        asleep = time.monotonic()
        wait_until(lambda: time.monotonic() > asleep + silence * 1.5, "it slept for longer than it may be silent")
        ui.send_signal(signal.SIGCONT)
        dog.resume()
        beats = tmp_path / "beats"
        enough = beats.stat().st_size + int(silence / 0.05)
        wait_until(lambda: beats.stat().st_size > enough, "it beats for longer than it may be silent")
        assert len(group(number)) == 3
        ui.stdin.write("end\n")
        ui.stdin.flush()
        assert ui.stdout.readline() == "None\n"


def test_it_ends_what_one_had_started_that_lost_its_place(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    with module.watchdog(tmp_path / "ui.log", tmp_path / "private", lock, reading, 600) as dog:
        os.close(writing)
        assert dog.process.wait() == 0
    os.close(lock)
    os.close(reading)


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
    beats = os.pipe()
    with module.watchdog(log, log.with_name("private"), lock, beats[0], 600) as dog:
        for _ in range(times):
            os.write(dog.output, text.encode())
    for descriptor in (lock, *beats):
        os.close(descriptor)
