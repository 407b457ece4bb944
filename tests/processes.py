"""What tests of whole processes share: a free port, and the processes of an installation.

Not here: fixtures (``conftest``).
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import psutil

CLI = [sys.executable, "-c", "from chandlery.cli import main; main()"]


def free_port() -> int:
    """Return the number of a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def alive(home: Path) -> list[psutil.Process]:
    """Return the processes that belong to the installation in ``home``, the database's server among them."""
    found = []
    for process in psutil.process_iter():
        try:
            mine = process.environ().get("CHANDLERY_HOME") == str(home) or str(home) in " ".join(process.cmdline())
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if mine and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found
