"""What tests do to an embedded server that the product never does: find its process, and stop it under its users."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil

from chandlery.database import embedded
from chandlery.database.embedded.processes import find_processes

_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT, "kill": signal.SIGKILL}


def find_server(data: Path) -> psutil.Process | None:
    """Return the server that works in ``data``, if one does."""
    for process in find_processes(data):
        if not " ".join(process.cmdline()).startswith("postgres: "):
            return process
    return None


def leave_server(data: Path, seconds: float = 60) -> None:
    """Use the server no longer, and wait until it has stopped, but not for ever: somebody else may use it."""
    server = find_server(data)
    embedded.leave(data)
    psutil.wait_procs([server] if server else [], timeout=seconds)


def stop_server(data: Path, mode: str) -> None:
    """Stop the server: ``fast`` or ``immediate``, as ``pg_ctl`` has them, or ``kill`` all of its processes."""
    server = find_server(data)
    assert server is not None
    family = [server, *server.children(recursive=True)]
    for process in family if mode == "kill" else family[:1]:
        process.send_signal(_SIGNALS[mode])
    _, living = psutil.wait_procs(family, timeout=60)
    assert not living
