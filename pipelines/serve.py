"""Serves the web UI: one code server, the web server and the daemon, started and stopped together.

Not here: Dagster's storage (``instance``).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

import yaml

from chandlery.core.own_packages import ROOT
from chandlery.errors import UsageError

_LOCATION = "chandlery"
_PATIENCE = 60.0
_GRACE = 15.0


def serve(home: Path, host: str, port: int) -> int:
    """Serve the web UI on ``host:port`` until interrupted; return 0, or 1 if one of the processes died by itself.

    Args:
        home: Dagster's home, prepared.
        host: address to listen on; the UI has no authentication.
        port: of the web server.

    Raises:
        UsageError: the address cannot be listened on.
    """
    _refuse_taken(host, port)
    code_port = _free_port()
    workspace, log = home / "workspace.yaml", home / "ui.log"
    server = {"host": "127.0.0.1", "port": code_port, "location_name": _LOCATION}
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    stop = threading.Event()
    with log.open("wb") as output, _until_interrupted(stop), _stopping() as processes:

        def start(*command: str) -> subprocess.Popen[bytes]:
            processes.append(_start(command, output))
            return processes[-1]

        # One code server for both, so that a reload in the UI reaches the daemon too.
        module, listen = ("-m", "pipelines.definitions", "-d", str(ROOT)), ("-h", "127.0.0.1", "-p", str(code_port))
        code = start("dagster", "code-server", "start", *module, *listen)
        _await_port("127.0.0.1", code_port, code, stop)
        web = start("dagster_webserver", "-h", host, "-p", str(port), "-w", str(workspace))
        start("dagster._daemon", "run", "-w", str(workspace))
        _await_port(host, port, web, stop)
        if not stop.is_set() and all(process.poll() is None for process in processes):
            print(f"Chandlery is at http://{host}:{port}  (Ctrl-C stops it; its log is {log})", flush=True)
        while not stop.wait(0.5):
            if any(process.poll() is not None for process in processes):
                print(f"a part of the user interface ended by itself; {log} says why", file=sys.stderr)
                return 1
    return 0


def _refuse_taken(host: str, port: int) -> None:
    with socket.socket() as probe:
        # As the web server does; otherwise a port that was in use a moment ago would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UsageError(f"cannot listen on {host}:{port}: {error.strerror}; try another --port") from None


def _start(command: Sequence[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    # A process group of its own: Ctrl-C reaches us alone, and we stop them in order.
    line = [sys.executable, "-m", *command, "--log-level", "warning"]
    # Modules are looked for where they are installed: the working directory may hold others that are called the same.
    env = {**os.environ, "PYTHONSAFEPATH": "1"}
    return subprocess.Popen(line, stdout=output, stderr=output, env=env, start_new_session=True)  # noqa: S603


@contextmanager
def _stopping() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Stop the processes in reverse order of their start."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        yield processes
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGINT)
        for process in reversed(processes):
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _until_interrupted(stop: threading.Event) -> Iterator[None]:
    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signals: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, handle) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _await_port(host: str, port: int, process: subprocess.Popen[bytes], stop: threading.Event) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None and not stop.is_set():
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex((host, port)) == 0:
                return
        stop.wait(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
