"""Starts and joins the embedded server, and leaves it. Not here: stopping it (``keeper``).

Three files beside the data, of which nothing counts but who holds a lock on them: ``.users`` (shared, each process that
uses the server; the system takes it away at the end of the process, however that comes), ``.starting`` (who starts the
server, or looks whether it runs), and ``.keeper`` (the keeper).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chandlery.database.embedded import cluster, keeper
from chandlery.database.embedded.folders import accepts, check_private, find_address
from chandlery.database.embedded.processes import clear_remains
from chandlery.database.embedded.programs import ServerUser, choose_user, environment, find_programs, place_of
from chandlery.database.forks import forget_in_children
from chandlery.errors import StoreError

#: Part of the name of the server's socket; nobody listens on a port of the network.
PORT = 5432
_SECONDS_TO_ANSWER = 30.0


def start(data: Path) -> str:
    """Start the server whose data is in ``data`` (made if absent), or join it if it runs; return its socket's folder.

    The server stops when the last process that called this has ended, or left (``leave``). A child that is forked uses
    the server too.

    Raises:
        StoreError: it does not start, or belongs to another user.
    """
    data = data.absolute()
    try:
        data.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = data.resolve()
        with _users.lock:
            _users.join(data)
            with _held(_open_lock(data, "starting"), fcntl.LOCK_EX) as starting:
                user = choose_user(data)
                _ensure_running(data, user, starting)
        return str(find_address(data))
    except OSError as error:
        raise StoreError(
            f"the embedded server cannot use {error.filename or data} ({error.strerror}); CHANDLERY_HOME has to be a"
            " folder that this user can write, with room on its disk"
        ) from error


def leave(data: Path, *, wait: bool = False) -> None:
    """Use the server of ``data`` no longer; its last user stops it by that.

    Args:
        data: as ``start`` took it.
        wait: return only when it has stopped, which is never while others use it.
    """
    data = data.absolute().resolve()
    with _users.lock:
        _users.leave(data)
    if wait:
        with _held(_open_lock(data, "keeper"), fcntl.LOCK_SH):
            pass


class _Users:
    """The servers that this process uses: for each folder of data, the descriptor that holds the lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._descriptors: dict[Path, int] = {}
        forget_in_children(self)

    def join(self, data: Path) -> None:
        """Hold the shared lock; wait while the keeper stops the server."""
        if data not in self._descriptors:
            descriptor = _open_lock(data, "users")
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            except BaseException:
                os.close(descriptor)
                raise
            self._descriptors[data] = descriptor

    def leave(self, data: Path) -> None:
        """Let go of the lock."""
        descriptor = self._descriptors.pop(data, None)
        if descriptor is not None:
            os.close(descriptor)

    def forget(self) -> None:
        """Hold locks of its own, in a child: the parent's must be gone when the parent is."""
        self.lock = threading.Lock()
        inherited, self._descriptors = self._descriptors, {}
        for data, descriptor in inherited.items():
            with contextlib.suppress(OSError, StoreError):  # the folder is gone
                self.join(data)
            os.close(descriptor)


_users = _Users()


def _ensure_running(data: Path, user: ServerUser, starting: int) -> None:
    """Start the server unless it runs; this process holds the lock of starting."""
    deadline = time.monotonic() + _SECONDS_TO_ANSWER
    while True:
        descriptor = _open_lock(data, "keeper")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            with _closing(descriptor):
                _start_anew(data, user, starting, descriptor)
            return
        check_private(data, user.uid)
        if accepts(data):
            return
        if time.monotonic() > deadline:
            raise StoreError(f"the embedded server in {data} runs and does not answer; {data / 'log'} may say why")
        time.sleep(0.02)  # it has ended, and its keeper is about to


def _start_anew(data: Path, user: ServerUser, starting: int, keeping: int) -> None:
    programs = find_programs(user)
    if data.exists():
        clear_remains(data)
    cluster.prepare(data, programs, user)
    log = data / "log"
    before = log.stat().st_size if log.exists() else 0
    if not _run_keeper(data, programs, user, starting, keeping):
        raise StoreError(f"the embedded server does not start{_reason(log, before)}; {log} says why")


def _run_keeper(data: Path, programs: Path, user: ServerUser, starting: int, keeping: int) -> bool:
    """Run a keeper, which starts the server and inherits both locks; return whether the server became ready."""
    # Nobody listens on the network. The path of the socket is short, because the server works in the folder.
    settings = {"listen_addresses": "", "unix_socket_directories": ".", "unix_socket_permissions": "0700", "port": PORT}
    options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
    command = [str(programs / "postgres"), "-D", place_of(data, user), *options]
    report, reporter = os.pipe()
    with (
        _closing(report),
        _closing(_open_lock(data, "users")) as users,
        _closing(os.open(data, os.O_RDONLY | os.O_DIRECTORY)) as folder,
    ):
        with _closing(reporter):
            descriptors = users, starting, reporter, folder
            done = subprocess.run(  # noqa: S603 - it divides itself at once, and the first half ends
                [
                    *(sys.executable, "-I", "-S", keeper.__file__),
                    *map(str, [*descriptors, user.uid, user.gid]),
                    *command,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(*descriptors, keeping),
                start_new_session=True,
                env=environment(),
                check=False,
            )
        return done.returncode == 0 and os.read(report, 16) == b"ready"


def _reason(log: Path, before: int) -> str:
    """Return why the server did not start: the last line of its log, after the first ``before`` bytes, that says so."""
    try:
        with log.open("rb") as file:
            file.seek(before)
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    reasons = [text for _, mark, text in (line.partition("FATAL: ") for line in lines) if mark]
    return f" ({reasons[-1].strip()})" if reasons else ""


def _open_lock(data: Path, name: str) -> int:
    """Open a file of locks beside ``data``, made where it is absent; return its descriptor.

    What root makes in another user's folder belongs to that user, who has to open it too.
    """
    path = data.with_name(f"{data.name}.{name}")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    if os.geteuid() == 0:
        around = data.parent.stat()
        os.fchown(descriptor, around.st_uid, around.st_gid)
    return descriptor


@contextmanager
def _held(descriptor: int, kind: int) -> Iterator[int]:
    """Hold a lock, which is gone once the last copy of the descriptor is closed."""
    with _closing(descriptor):
        fcntl.flock(descriptor, kind)
        yield descriptor


@contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)
