"""PostgreSQL of Debian's packages, which speaks TLS, and a standby of it. Not here: one that speaks German."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from psycopg import conninfo

from tests.apache_server import UnavailableError

PASSWORD = "only-for-tests"
#: A server's own choices never change an answer, nor does its standby refuse one for them.
_SETTINGS = """
default_transaction_isolation = serializable
fsync = off
max_connections = 40
wal_level = replica
hot_standby = on
autovacuum = off
"""
#: Over the network only with TLS, and replication over the socket.
_HBA = "hostssl all all 127.0.0.1/32 scram-sha-256\nlocal all all scram-sha-256\nlocal replication all scram-sha-256\n"


@contextmanager
def debian_server(prepare: Callable[[Path], None] = lambda _: None) -> Iterator[str]:
    """Run a server on the loopback interface that takes no connection without TLS; yield its connection string.

    Args:
        prepare: changes its folder of data before it starts.

    Raises:
        UnavailableError: this machine has not what it takes.
    """
    programs, setpriv, openssl = find_programs(), shutil.which("setpriv"), shutil.which("openssl")
    if setpriv is None or openssl is None:
        raise UnavailableError("this machine has no setpriv or no openssl")
    folder = Path(tempfile.mkdtemp(prefix="chandlery-debian-"))
    try:
        folder.chmod(0o755)
        (folder / "password").write_text(PASSWORD)
        data = _make_folder(folder, "data")
        options = ["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
        run([*as_user(setpriv), str(programs / "initdb"), "-D", str(data), *options, f"--pwfile={folder / 'password'}"])
        request = ["req", "-new", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        run(
            [
                *as_user(setpriv),
                openssl,
                *request,
                "-keyout",
                str(data / "server.key"),
                "-out",
                str(data / "server.crt"),
            ]
        )
        port = _free_port()
        place = f"listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{data}'\nssl = on\n"
        (data / "postgresql.conf").write_text(_SETTINGS + place)
        (data / "pg_hba.conf").write_text(_HBA)
        prepare(data)
        with running(programs, setpriv, data):
            yield conninfo.make_conninfo(
                host="127.0.0.1", port=port, user="postgres", password=PASSWORD, dbname="postgres", sslmode="require"
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def standby(dsn: str) -> Iterator[str]:
    """Run a standby of the server of ``dsn``, which only reads; yield its connection string."""
    programs, setpriv = find_programs(), shutil.which("setpriv") or ""
    parts = conninfo.conninfo_to_dict(dsn)
    folder = Path(tempfile.mkdtemp(prefix="chandlery-standby-"))
    try:
        folder.chmod(0o755)
        data, port = _make_folder(folder, "data"), _free_port()
        source = conninfo.make_conninfo(dsn, dbname=None, host=_socket_of(dsn), sslmode=None)
        backup = [str(programs / "pg_basebackup"), "-d", source, "-D", str(data), "-R", "-X", "stream", "-c", "fast"]
        run([*as_user(setpriv), *backup])
        settings = (data / "postgresql.conf").read_text().replace(f"port = {parts['port']}", f"port = {port}")
        (data / "postgresql.conf").write_text(settings.replace(_socket_of(dsn), str(data)))
        with running(programs, setpriv, data):
            yield conninfo.make_conninfo(dsn, port=port)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _socket_of(dsn: str) -> str:
    import psycopg

    with psycopg.connect(dsn) as connection:
        row = connection.execute("SHOW unix_socket_directories").fetchone()
    return str(row[0]) if row else ""


@contextmanager
def running(programs: Path, setpriv: str, data: Path) -> Iterator[None]:
    pg_ctl = [*as_user(setpriv), str(programs / "pg_ctl"), "-D", str(data), "-w"]
    run([*pg_ctl, "-l", str(data / "log"), "start"])
    try:
        yield
    finally:
        run([*pg_ctl, "-m", "immediate", "stop"])


def as_user(setpriv: str) -> list[str]:
    if os.geteuid() != 0:
        return []
    nobody = pwd.getpwnam("nobody")  # PostgreSQL refuses to be root
    return [setpriv, f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]


def _make_folder(folder: Path, name: str) -> Path:
    data = folder / name
    data.mkdir(mode=0o700)
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(data, nobody.pw_uid, nobody.pw_gid)
    return data


def find_programs() -> Path:
    for programs in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (programs / "postgres").exists():
            return programs
    raise UnavailableError("this machine has no PostgreSQL of Debian's")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(command: Sequence[str]) -> None:
    done = subprocess.run(
        command, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode != 0:
        raise UnavailableError(f"{command[-1]}: {done.stderr}")
