"""The process that keeps the server: starts it, waits until nobody uses it, stops it, and ends.

It belongs to no terminal and holds nothing of whoever started it, so it outlives them. Users hold a shared lock on a
file, which the system takes from them however they end; once the keeper has an exclusive one, there are none. It is
run as a file, with the standard library alone (``server`` does that).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import sys
import threading
from collections.abc import Sequence

#: How long the server may take to stop in order; after that it stops at once, and repairs itself at its next start.
_SECONDS_TO_STOP = 60.0
_NOBODY = b"\0"


def main(arguments: Sequence[str]) -> None:
    """Keep the server until nobody uses it.

    Args:
        arguments: of the command line: descriptors of the file that users lock, of the lock of starting, of a pipe that
            hears whether the server is ready, and of the folder of the data; the numbers of the user and the group
            to run the server as; then the server's own command line. A further lock is inherited and held until the
            end, by which others know that there is a keeper.
    """
    users, starting, report, data, uid, gid = (int(argument) for argument in arguments[:6])
    if os.fork():
        os._exit(0)  # so that the keeper is nobody's child
    for descriptor in map(int, os.listdir("/dev/fd")):  # noqa: PTH208 - this process imports as little as it can
        with contextlib.suppress(OSError):  # the one that listed them
            os.set_inheritable(descriptor, False)
    os.chdir("/")
    os.umask(0o077)
    wake, waker = os.pipe()
    for descriptor in (wake, waker):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    server = _start(data, uid, gid, arguments[6:])
    ready = _await_ready(server, data, wake)
    os.write(report, b"ready" if ready else b"failed")
    os.close(report)
    os.close(starting)
    if ready:
        threading.Thread(target=_await_nobody, args=(users, waker), daemon=True).start()
        _watch(server, wake)
    os._exit(0)


def _start(data: int, uid: int, gid: int, command: Sequence[str]) -> int:
    """Start the server as a child in a session of its own, working in the folder of its data; return its number."""
    keeper = os.getpid()
    server = os.fork()
    if server:
        return server
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        os.fchdir(data)
        if os.geteuid() != uid:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        if sys.platform == "linux":
            # A server that lost its keeper stops in order, rather than run for nobody.
            ctypes.CDLL(None).prctl(1, int(signal.SIGINT), 0, 0, 0)  # PR_SET_PDEATHSIG
            if os.getppid() != keeper:
                os._exit(1)
        log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.execve(command[0], list(command), os.environ)  # noqa: S606
    except OSError as error:
        os.write(2, f"FATAL: {error}\n".encode())
    finally:
        os._exit(1)


def _await_ready(server: int, data: int, wake: int) -> bool:
    """Wait until the server says in its own file that it is ready; return False where it ended instead."""
    while not _has_ended(server):
        with contextlib.suppress(OSError):
            file = os.open("postmaster.pid", os.O_RDONLY, dir_fd=data)
            try:
                lines = os.read(file, 4096).split(b"\n")
            finally:
                os.close(file)
            if lines[0] == str(server).encode() and len(lines) > 7 and lines[7].startswith(b"ready"):
                return True
        select.select([wake], [], [], 0.01)
        _take(wake)
    return False


def _await_nobody(users: int, waker: int) -> None:
    fcntl.flock(users, fcntl.LOCK_EX)
    os.write(waker, _NOBODY)


def _watch(server: int, wake: int) -> None:
    """Wait until the server ended by itself, nobody uses it, or somebody ends the keeper; in these cases, stop it."""
    while not _has_ended(server):
        select.select([wake], [], [])
        if {_NOBODY[0], int(signal.SIGTERM)} & set(_take(wake)):
            os.kill(server, signal.SIGINT)
            break
    for number in (signal.SIGQUIT, signal.SIGKILL):
        if _ends(server, wake):
            return
        os.kill(server, number)
    os.waitpid(server, 0)


def _ends(server: int, wake: int) -> bool:
    """Wait for the server to end; return whether it did in time."""
    for _ in range(int(_SECONDS_TO_STOP / 0.1)):
        if _has_ended(server):
            return True
        select.select([wake], [], [], 0.1)
        _take(wake)
    return False


_ended = False


def _has_ended(server: int) -> bool:
    """Return whether the server, a child of ours, has ended. Until this says so, nobody else can bear its number."""
    global _ended  # noqa: PLW0603 - a child can be waited for only once
    _ended = _ended or os.waitpid(server, os.WNOHANG)[0] == server
    return _ended


def _take(wake: int) -> bytes:
    try:
        return os.read(wake, 4096)
    except BlockingIOError:
        return b""


if __name__ == "__main__":
    main(sys.argv[1:])
