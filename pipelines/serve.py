"""Serves the web UI: one code server, the web server and the daemon, started and stopped together.

They end with this process however it ends: by Ctrl-C, by SIGTERM, by a hang-up of its terminal, or by SIGKILL.

Not here: Dagster's storage (``instance``), that only one runs (``ui_lock``), and what ends what is left (``watchdog``).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import psutil
import yaml

from chandlery.app.ui_token import TOKEN_VARIABLE
from chandlery.core.own_packages import ROOT
from chandlery.database.lease import LONGEST_SILENCE
from chandlery.errors import UsageError
from pipelines.ui_lock import Place
from pipelines.watchdog import UNHEARD, Watchdog, watchdog

_LOCATION = "chandlery"
_SECONDS_TO_START = 60.0
_SECONDS_TO_STOP = 15.0
#: After so many seconds without a beat, what was started is ended: all of it is gone before another may have the place.
_SILENCE = LONGEST_SILENCE / 2


def serve(
    home: Path,
    host: str,
    port: int,
    *,
    token: str,
    lock: int,
    place: Place,
    allowed_hosts: Sequence[str] = (),
) -> int:
    """Serve the web UI on ``host:port`` until interrupted; return 0, or 1 if it could not go on.

    Args:
        home: Dagster's home, prepared.
        host: address to listen on.
        port: of the web server.
        token: that opens the UI; see ``chandlery.app.ui_token``.
        lock: file descriptor of the lock of ``home``, which lasts until all processes have ended.
        place: of the one web UI of the database; it serves no longer than it has it.
        allowed_hosts: other names by which the server is called.

    Raises:
        UsageError: the address cannot be listened on.
    """
    _refuse_taken(host, port)
    workspace, log, stop = home / "workspace.yaml", home / "ui.log", threading.Event()
    # Both code servers run whatever they are sent: only the owner can connect. The path of a socket has to be short.
    private = tempfile.mkdtemp(prefix="chandlery-ui-")
    guarded = watchdog(log, Path(private), lock, place.beats, _SILENCE)
    with _until_interrupted(stop), guarded as dog, _stopping() as processes:
        code_socket = str(Path(private) / "code")
        server = {"socket": code_socket, "location_name": _LOCATION}
        workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))

        def start(*command: str) -> subprocess.Popen[bytes]:
            own = {"TMPDIR": private} | ({TOKEN_VARIABLE: token} if command[0] == "pipelines.web" else {})
            processes.append(_start(command, dog, own))
            return processes[-1]

        # One code server for both, so that a reload in the UI reaches the daemon too.
        module, quiet = ("-m", "pipelines.definitions", "-d", str(ROOT)), ("--log-level", "warning")
        code = start("dagster", "code-server", "start", *module, "-s", code_socket, *quiet)
        _await_server(socket.AF_UNIX, code_socket, code, stop)
        options = ["--host", host, "--port", str(port), "--workspace", str(workspace)]
        web = start("pipelines.web", *options, *(f"--allow-host={name}" for name in allowed_hosts))
        start("dagster._daemon", "run", "-w", str(workspace), *quiet)
        _await_server(_family(host), (host, port), web, stop)
        if not stop.is_set() and all(process.poll() is None for process in (dog.process, *processes)):
            _invite(f"{address(host, port)}/?token={token}", log)
        return _watch(dog, processes, stop, place, log)


def serve_daemon(home: Path, workspace: str, *, lock: int, place: Place) -> int:
    """Run the daemon alone until interrupted; return 0, or 1 if it could not go on.

    What it says goes where this process's own output goes.

    Args:
        home: Dagster's home, prepared.
        workspace: the file that says where the code server is, which runs elsewhere.
        lock: file descriptor of the lock of ``home``, which lasts until the daemon has ended.
        place: of the one daemon of the database; it runs no longer than it has it.
    """
    log, stop, private = home / "daemon.log", threading.Event(), tempfile.mkdtemp(prefix="chandlery-daemon-")
    guarded = watchdog(log, Path(private), lock, place.beats, _SILENCE)
    with _until_interrupted(stop), guarded as dog, _stopping() as processes:
        processes.append(
            _start(("dagster._daemon", "run", "-w", workspace, "--log-level", "warning"), dog, {}, sys.stdout.fileno())
        )
        return _watch(dog, processes, stop, place, log)


def _invite(place: str, log: Path) -> None:
    print(f"Chandlery is at {place}", flush=True)
    print(f"(The token lets in whoever has it. Ctrl-C stops the UI; its log is {log})", flush=True)


def _watch(
    dog: Watchdog, processes: Sequence[subprocess.Popen[bytes]], stop: threading.Event, place: Place, log: Path
) -> int:
    """Wait until interrupted, which is 0, or until a part ends by itself or the place is lost, which is 1."""
    while not stop.wait(0.5):
        reason = place.lost()
        if reason is None and dog.process.poll() == UNHEARD:
            reason = (
                f"this web UI lost its place: it was stopped, or its database silent, for {_SILENCE:.0f} seconds, after"
                " which another one may serve the database; start it again"
            )
        if reason is None and any(process.poll() is not None for process in (dog.process, *processes)):
            reason = f"a part of the user interface ended by itself; {log} says why"
        if reason is not None:
            print(reason, file=sys.stderr)
            return 1
    return 0


def address(host: str, port: int) -> str:
    """Return where the pages of a server are that listens on ``host`` and ``port``, for who is at this machine."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - no socket
    return f"http://{f'[{name}]' if ':' in name else name}:{port}"


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _refuse_taken(host: str, port: int) -> None:
    with socket.socket(_family(host)) as probe:
        # As the web server does; otherwise a port that was in use a moment ago would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            who = _listener(port)
            raise UsageError(f"cannot listen on {host}:{port}: {error.strerror}{who}; try another --port") from None


def _listener(port: int) -> str:
    """Return which process listens on ``port``, as far as it can be seen: not that of another user."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                process = psutil.Process(connection.pid)
                since = datetime.fromtimestamp(process.create_time(), UTC)
                return f" by process {process.pid} ({process.name()}, since {since:%Y-%m-%d %H:%M:%S} UTC)"
    return ""


def _start(
    command: Sequence[str], dog: Watchdog, own: Mapping[str, str], output: int | None = None
) -> subprocess.Popen[bytes]:
    output = dog.output if output is None else output
    line = [sys.executable, "-m", *command]
    # Modules are looked for where they are installed: the working directory may hold others that are called the same.
    shared = {name: value for name, value in os.environ.items() if name.removesuffix("_FILE") != TOKEN_VARIABLE}
    env = {**shared, "PYTHONSAFEPATH": "1", **own}
    # In the watchdog's process group: Ctrl-C reaches us alone, and we stop them in order.
    return subprocess.Popen(  # noqa: S603
        line, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, process_group=dog.process.pid
    )


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
                process.wait(_SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _until_interrupted(stop: threading.Event) -> Iterator[None]:
    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as `nohup` has it
        signals.append(signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _await_server(
    family: socket.AddressFamily,
    address: str | tuple[str, int],
    process: subprocess.Popen[bytes],
    stop: threading.Event,
) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None and not stop.is_set():
        with socket.socket(family) as probe:
            probe.settimeout(1)
            if probe.connect_ex(address) == 0:
                return
        stop.wait(0.2)
