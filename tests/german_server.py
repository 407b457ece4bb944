"""A PostgreSQL server that speaks German and asks for passwords, from Debian's packages where they are installed."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from psycopg import conninfo

from tests.apache_server import UnavailableError

PASSWORD = "Geheimnis-4711"


def start() -> str:
    """Start a server that stops with this process; return a connection string of its superuser.

    Raises:
        UnavailableError: it cannot be had here.
    """
    programs = _find_programs()
    setpriv, localedef = shutil.which("setpriv"), shutil.which("localedef")
    if setpriv is None or localedef is None or not Path("/usr/share/i18n/locales/de_DE").exists():
        raise UnavailableError("this machine has no setpriv, no localedef or no German locale to compile")
    folder = Path(tempfile.mkdtemp(prefix="chandlery-german-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    subprocess.run([localedef, "-i", "de_DE", "-f", "UTF-8", folder / "de_DE.UTF-8"], check=True, capture_output=True)
    (folder / "password").write_text(PASSWORD)
    data = folder / "data"
    data.mkdir(mode=0o700)
    run_as = [setpriv, "--pdeathsig", "INT"]
    if os.geteuid() == 0:  # PostgreSQL refuses to be root
        nobody = pwd.getpwnam("nobody")
        os.chown(data, nobody.pw_uid, nobody.pw_gid)
        run_as += [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    _make_cluster([*run_as, str(programs / "initdb")], folder, data)
    # The first process of pg_ctl's ends; the server's own end is this one's concern.
    pg_ctl = [*run_as[:1], *run_as[3:], str(programs / "pg_ctl"), "-D", str(data)]
    settings = f"-c listen_addresses='' -c unix_socket_directories='{data}' -c fsync=off"
    started = _run([*pg_ctl, "-w", "-l", str(data / "log"), "-o", settings, "start"], folder)
    if started.returncode != 0:
        raise UnavailableError(f"the server does not start: {(data / 'log').read_text(errors='replace')}")
    atexit.register(_run, [*pg_ctl, "-w", "-m", "immediate", "stop"], folder)
    return conninfo.make_conninfo(host=str(data), user="postgres", password=PASSWORD, dbname="postgres")


def _find_programs() -> Path:
    for catalogue in sorted(Path("/usr/share/locale/de/LC_MESSAGES").glob("postgres-*.mo"), reverse=True):
        programs = Path("/usr/lib/postgresql") / catalogue.stem.removeprefix("postgres-") / "bin"
        if (programs / "postgres").exists():
            return programs
    raise UnavailableError("this machine has no PostgreSQL of Debian's with German messages")


def _make_cluster(initdb: Sequence[str], folder: Path, data: Path) -> None:
    options = ["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"]
    locale = ["--locale=C", "--lc-messages=de_DE.UTF-8", f"--pwfile={folder / 'password'}"]
    made = _run([*initdb, "-D", str(data), *options, *locale], folder)
    if made.returncode != 0:
        raise UnavailableError(f"initdb failed: {made.stdout}")


def _run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={"LOCPATH": str(folder), "LC_ALL": "", "LC_MESSAGES": "de_DE.UTF-8", "PATH": "/usr/bin:/bin", "TZ": "UTC"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
