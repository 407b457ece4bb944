"""One web UI for each home: a locked file that says which one runs.

The kernel holds the lock for as long as the UI, or what it started, lives; so a kill leaves nothing to clean up.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from chandlery.errors import UsageError

FILE_NAME = "ui.lock"
#: As long as the rest of a UI that was killed may take to end.
_SECONDS_TO_END = 20.0


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
            return bool(abs(psutil.Process(self.pid).create_time() - self.since) < 1)
        except psutil.Error:
            return False

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since, UTC)
        return f"{self.address}, process {self.pid}, since {since:%Y-%m-%d %H:%M:%S} UTC"


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
