"""How the web UI ends: by a hang-up or a kill, all of it; and while it runs, no second one does.

Not here: the pages (``test_ui``), and the parts one by one (``tests/unit/pipelines``).
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.processes import CLI, alive, free_port

pytestmark = [pytest.mark.slow, pytest.mark.ui]


@pytest.fixture
def environment(database_url: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("CHANDLERY_", "DAGSTER_"))}
    yield keep | {"CHANDLERY_DATABASE_URL": database_url, "CHANDLERY_HOME": str(tmp_path / "home")}
    name = f"{psycopg.conninfo.conninfo_to_dict(database_url)['dbname']}_dagster"
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def run(*command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CLI, *command], env=environment, capture_output=True, text=True, check=False)


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=60):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False


def sockets(processes: Sequence[psutil.Process]) -> list[Path]:
    """Return the files on which these processes listen."""
    found = [connection.laddr for process in processes for connection in process.net_connections("unix")]
    return sorted({Path(place) for place in found if isinstance(place, str) and place.startswith("/")})


def test_all_of_it_ends_with_it_and_only_one_runs(environment: dict[str, str], tmp_path: Path) -> None:
    home, port = tmp_path / "home", free_port()
    log = home / "dagster" / "ui.log"
    done = run("init", environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    for starts, how in enumerate((signal.SIGHUP, signal.SIGKILL), 1):
        # Also where whatever is made can be written by everybody.
        ui = subprocess.Popen(
            [*CLI, "ui", "--port", str(port)], env=environment, stdout=subprocess.PIPE, text=True, umask=0
        )
        assert ui.stdout is not None
        address = ui.stdout.readline()
        assert address.startswith(f"Chandlery is at http://127.0.0.1:{port}/"), log.read_text()
        assert answers(port)
        if how == signal.SIGHUP:
            second = run("ui", "--port", str(free_port()), environment=environment)
            assert second.returncode == 2
            assert f"http://127.0.0.1:{port}, process {ui.pid}, since 20" in second.stderr
            other_home = environment | {"CHANDLERY_HOME": f"{home}-2"}
            elsewhere = run("ui", "--port", str(free_port()), environment=other_home)
            assert elsewhere.returncode == 2
            assert f"process {ui.pid} on {socket.gethostname()[:25]}, port {port}, since 20" in elsewhere.stderr
        parts = [process for process in alive(home) if process.pid != ui.pid]
        assert len(parts) >= 4, [
            process.cmdline() for process in parts
        ]  # code server and its child, web server, daemon
        listening = sockets(parts)
        assert len(listening) >= 2  # of the code server and its child
        for place in (*listening, log):
            assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700, place
        ui.send_signal(how)
        _, left = psutil.wait_procs(parts, timeout=60)
        assert left == []
        assert ui.wait(60) == (0 if how == signal.SIGHUP else -how)
        ui.stdout.close()
        assert alive(home) == []
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
        assert log.read_text().count("the web UI starts") == starts
