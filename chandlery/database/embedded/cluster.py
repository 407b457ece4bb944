"""The files of the embedded server: made once, whole or not at all, and who may connect.

The role of the pipeline is no superuser. The system says who connects (``peer``): the owner of the data, and root, who
could be anybody. A server that an earlier version made, which trusted everybody, is converted. Not here: starting it
(``server``).
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from chandlery.core.own_packages import SQL
from chandlery.database.embedded.folders import check_private
from chandlery.database.embedded.programs import ServerUser, place_of, run_program
from chandlery.errors import StoreError

#: To whom everything of Chandlery's belongs.
ROLE = "chandlery"
#: The server's own administrator, for whoever owns the data: extensions, settings.
SUPERUSER = "postgres"

#: Of a new server: bulk loads should not wait for checkpoints, and planners should know about memory.
_SETTINGS = {
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "work_mem": "64MB",
    "maintenance_work_mem": "256MB",
    "max_locks_per_transaction": "512",
    "random_page_cost": "1.1",
}
_HBA = f"""\
# Written by Chandlery at every start. Only the owner of these files, and root, can connect.
local all {ROLE} peer map={ROLE}
local all {SUPERUSER} peer map={SUPERUSER}
"""
#: What earlier versions left in the folder.
_OBSOLETE = (".handle_pids.json",)


def prepare(data: Path, programs: Path, user: ServerUser) -> None:
    """Make the files of the server where they are absent, and see to it that only the owner can connect. Idempotent.

    The server does not run, and the caller holds the lock of starting.

    Raises:
        StoreError: something else is there, or PostgreSQL's programs failed.
    """
    try:
        if not (data / "PG_VERSION").exists():
            _make(data, programs, user)
        check_private(data, user.uid)
        if _read(data / "pg_hba.conf") != _HBA or _read(data / "pg_ident.conf") != _map_of(user):
            _restrict(data, programs, user)
    except OSError as error:
        raise StoreError(
            f"the embedded server cannot use {error.filename or data} ({error.strerror}); CHANDLERY_HOME has to be a"
            " folder that this user can write, with room on its disk"
        ) from error


def _make(data: Path, programs: Path, user: ServerUser) -> None:
    """Make a server beside ``data`` and then name it so: a server that was made in part is never used."""
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise StoreError(f"{data} is there and holds no server's data; move it away, or choose another CHANDLERY_HOME")
    unfinished = data.with_name(f"{data.name}.unfinished")
    if unfinished.is_symlink() or unfinished.is_file():
        unfinished.unlink()
    elif unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    try:
        if user.is_other:
            os.chown(unfinished, user.uid, user.gid)
        settings = [option for name, value in _SETTINGS.items() for option in ("-c", f"{name}={value}")]
        # Text sorts and compares alike on every machine.
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        options = [f"--username={SUPERUSER}", "--auth=reject", *locale, *settings, "--no-instructions"]
        done = run_program([programs / "initdb", "-D", place_of(unfinished, user), *options], unfinished, user)
        if done.returncode != 0:
            raise StoreError(f"the embedded server's files cannot be made in {data.parent}: {_reason(done)}")
        _restrict(unfinished, programs, user)
        unfinished.rename(data)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise StoreError(f"{data} is a mount point; mount the folder above it, {data.parent}, instead") from None
        raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _restrict(data: Path, programs: Path, user: ServerUser) -> None:
    """Let the role own everything, and then only the owner connect. It counts once the last file is there."""
    for name in _command(data, programs, user, SUPERUSER, "role"):
        _command(data, programs, user, name, "contents")
    for name in _OBSOLETE:
        (data / name).unlink(missing_ok=True)
    _write(data / "pg_ident.conf", _map_of(user), user)
    _write(data / "pg_hba.conf", _HBA, user)


def _command(data: Path, programs: Path, user: ServerUser, database: str, name: str) -> Sequence[str]:
    """Run ``sql/embedded/<name>.sql`` without a server; return the names of databases that it tells."""
    text = (SQL / "embedded" / f"{name}.sql").read_text(encoding="utf-8")
    # One user at a time, who needs no way to connect. A statement ends with an empty line.
    options = ["-D", place_of(data, user), "-j", "-c", "exit_on_error=true", "-c", "log_checkpoints=off"]
    command = [str(programs / "postgres"), "--single", *options, database]
    done = run_program(command, data, user, text.rstrip() + "\n\n")
    if done.returncode != 0:
        raise StoreError(f"the embedded server in {data} cannot be prepared: {_reason(done)}")
    return re.findall(r'datname = "(.*)"\t\(typeid', done.stdout)


def _map_of(user: ServerUser) -> str:
    people = dict.fromkeys([user.name, "root"])
    lines = [f'{role} "{name}" {role}' for role in (ROLE, SUPERUSER) for name in people]
    return "# Written by Chandlery at every start.\n" + "\n".join(lines) + "\n"


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _write(path: Path, text: str, user: ServerUser) -> None:
    """Write a file of the server, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        if user.is_other:
            os.fchown(descriptor, user.uid, user.gid)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    new.replace(path)


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """Return the line of a program's errors that says why it failed."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"\b(FATAL|PANIC|ERROR|error):", line)]
    return (telling or lines or [f"it ended with {done.returncode}"])[0]
