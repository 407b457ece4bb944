"""A pgbouncer in transaction mode before a server, from Debian's package where it is installed."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import conninfo

from tests.apache_server import UnavailableError
from tests.support import wait_until

_CONFIGURATION = """\
[databases]
* = host={host} port={port}

[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {folder}
auth_type = any
auth_file =
pool_mode = {mode}
default_pool_size = {size}
logfile = {folder}/log
pidfile =
{more}
"""


@contextmanager
def pgbouncer(dsn: str, *, mode: str = "transaction", size: int = 8, more: str = "") -> Iterator[str]:
    """Stand before the server of ``dsn``, which listens on a unix socket; yield a connection string of the pooler.

    Args:
        dsn: connection string of the server; its role and database are kept.
        mode: when a session of the server goes to another client.
        size: how many sessions there are for each database and role.
        more: further lines of the configuration.

    Raises:
        UnavailableError: it is not installed.
    """
    program, setpriv = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin"), shutil.which("setpriv")
    if program is None or setpriv is None:
        raise UnavailableError("this machine has no pgbouncer or no setpriv")
    parts = conninfo.conninfo_to_dict(dsn)
    port = str(parts.get("port") or 5432)
    folder = Path(tempfile.mkdtemp(prefix="chandlery-pgbouncer-"))
    user = parts["user"]
    text = _CONFIGURATION.format(host=parts["host"], port=port, folder=folder, mode=mode, size=size, more=more)
    # Whoever connects is this role: who may do what is not what is tested here.
    text = text.replace("* = ", f"* = user={user} ")
    (folder / "pgbouncer.ini").write_text(text)
    run_as = [setpriv, "--pdeathsig", "KILL"]
    if os.geteuid() == 0:  # it refuses to be root
        # The embedded server lets in whoever runs it, who has to be let into the folder that this test run made.
        owner = pwd.getpwuid((Path(str(parts["host"])) / f".s.PGSQL.{port}").stat().st_uid)
        Path(str(parts["host"])).parent.chmod(0o711)
        run_as += [f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    process = subprocess.Popen(
        [*run_as, program, "-q", folder / "pgbouncer.ini"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        pooled = conninfo.make_conninfo(dsn, host=str(folder), port=port)
        # The socket's file is there a moment before anybody listens behind it.
        wait_until(lambda: process.poll() is not None or _answers(pooled), "pgbouncer answers")
        assert process.poll() is None, "pgbouncer did not start"
        yield pooled
    finally:
        process.send_signal(signal.SIGINT)
        process.terminate()
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def _answers(dsn: str) -> bool:
    """Does a client get through to the server behind it?"""
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:  # some modes know no transactions
            connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True
