"""One web UI for each home, and one for each database, with its daemon: two daemons would launch every run twice.

Of a home it is a locked file that says which one runs. The kernel holds the lock for as long as the UI, or what it
started, lives; so a kill leaves nothing to clean up. Of a database, which several homes may share, it is a lease.
Not here: ending what the UI started where it cannot show any more that it holds the lease (``watchdog``).
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from chandlery.database.connections import Database
from chandlery.database.lease import Lease
from chandlery.errors import UsageError

FILE_NAME = "ui.lock"
#: As long as the rest of a UI that was killed may take to end.
_SECONDS_TO_END = 20.0


#: Of the lease on a database.
_DAEMON = 1


@dataclass(frozen=True, slots=True)
class RunningUi:
    """A web UI, as it describes itself in its lock.

    Attributes:
        address: of its pages.
        pid: number of its process.
        since: when that process began, in seconds since 1970.
    """

    address: str
    pid: int
    since: float

    @property
    def lives(self) -> bool:
        """Whether this very process is there; a number alone may belong to somebody else by now."""
        try:
            process = psutil.Process(self.pid)
            is_this = abs(process.create_time() - self.since) < 1
            return bool(is_this and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False

    def __str__(self) -> str:
        return f"{self.address}, process {self.pid}, since {_moment(self.since)}"


@dataclass(frozen=True, slots=True)
class Place:
    """The place of the one web UI of a database.

    Attributes:
        lost: says why it is lost; None while it is not.
        beats: file descriptor that shows that it is held; see ``chandlery.database.lease.Lease``.
    """

    lost: Callable[[], str | None]
    beats: int


@contextmanager
def ui_lock(home: Path, address: str) -> Iterator[int]:
    """Hold the lock of ``home``; yield its file descriptor.

    Waits a little where the UI that held it was killed and what it had started is just ending.

    Args:
        home: Dagster's home.
        address: of the pages, to tell who comes next.

    Raises:
        UsageError: a web UI of this home runs; says which.
    """
    descriptor = os.open(home / FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor)
        me = RunningUi(address, os.getpid(), psutil.Process().create_time())
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(me)).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def daemon_lease(database: Database, port: int) -> Iterator[Place]:
    """Be the one web UI of ``database``, whatever its home.

    Waits a little where the one that held the lease was killed and its connection is just ending.

    Args:
        database: of the market.
        port: of the pages, to tell who comes next.

    Raises:
        UsageError: another one serves this database; says which.
        StoreError: the database cannot be asked.
    """
    me = f"chandlery-ui/{os.getpid()}/{psutil.Process().create_time():.0f}/{port}/{socket.gethostname()[:25]}"
    deadline = time.monotonic() + _SECONDS_TO_END
    while True:
        with Lease(database, _DAEMON, me) as lease:
            if lease.held_by is None:
                yield Place(lambda: None if lease.held_by is None else _taken(lease.held_by), lease.beats)
                return
        if not _may_be_gone(lease.held_by) or time.monotonic() > deadline:
            raise UsageError(f"{_taken(lease.held_by)}; one database has one web UI and daemon: use that, or stop it")
        time.sleep(0.1)


def _taken(holder: str) -> str:
    """Return, for people, who holds the lease."""
    try:
        _, pid, since, port, host = holder.split("/")
        who = f"process {pid} on {host}, port {port}, since {_moment(float(since))}"
    except ValueError:
        who = "a process that this role may not see"
    return f"the web UI of another home serves this database already: {who}"


def _may_be_gone(holder: str) -> bool:
    """Return whether a holder ended on this machine, or cannot be told by its name, as while its connection ends."""
    try:
        _, pid, since, _, host = holder.split("/")
    except ValueError:
        return True
    return host == socket.gethostname()[:25] and not RunningUi("", int(pid), float(since)).lives


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _lock(descriptor: int) -> None:
    deadline = time.monotonic() + _SECONDS_TO_END
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read(descriptor)
            if (holder and holder.lives) or time.monotonic() > deadline:
                which = f": {holder}" if holder else ""
                raise UsageError(
                    f"the web UI of this home runs already{which}; use that one, or stop it first"
                ) from None
            time.sleep(0.1)
        else:
            return


def _read(descriptor: int) -> RunningUi | None:
    """Return who holds the lock; None where it has not said so yet."""
    try:
        return RunningUi(**json.loads(os.pread(descriptor, 4096, 0)))
    except (ValueError, TypeError):
        return None
