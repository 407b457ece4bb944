"""Which processes are our server's: those of PostgreSQL that work in the folder of its data.

Numbers in files are not believed: after a crash or a restart of the machine, another process may bear them. Nothing is
ever signalled because a file names it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import psutil

from chandlery.database.embedded.folders import SOCKET, accepts
from chandlery.errors import StoreError

#: What a server leaves behind that was killed.
_LEFT_BEHIND = ("postmaster.pid", SOCKET, f"{SOCKET}.lock")
_SECONDS_TO_END = 15.0


def clear_remains(data: Path) -> None:
    """Make sure that no server works in ``data``, and remove what one that was killed left there.

    A server that lost its keeper is stopped if nobody is connected to it. The caller holds the lock of starting.

    Raises:
        StoreError: a server is running that somebody is connected to, or that does not end, or its files cannot be
            removed.
    """
    running = find_processes(data)
    servers = [process for process in running if not _is_part(process)]
    for server in servers:
        users = [process.pid for process in running if " [local] " in " ".join(_command(process))]
        if users:
            raise StoreError(
                f"a server that nobody watches over uses {data} (process {server.pid}), and somebody is connected to"
                " it, perhaps an earlier version of Chandlery; end that program, then try again"
            )
        server.terminate()  # psutil makes sure that the number still means the same process
    _, living = psutil.wait_procs(running, timeout=_SECONDS_TO_END)
    if living:
        numbers = ", ".join(str(process.pid) for process in living)
        raise StoreError(f"processes of an earlier server still use {data} and do not end ({numbers}); end them")
    if accepts(data):
        raise StoreError(
            f"a server uses {data} that this process cannot see, perhaps one in a container; end it, or use it there"
        )
    for name in _LEFT_BEHIND:
        try:
            (data / name).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{data / name} is in the way ({error.strerror}); move it away") from None


def find_processes(data: Path) -> Sequence[psutil.Process]:
    """Return the living processes of PostgreSQL, of whoever owns ``data``, whose working directory is ``data``."""
    here = data.stat()
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() != "postgres" or process.uids().effective != here.st_uid:
                continue
            place = os.stat(process.cwd())  # noqa: PTH116
        except (psutil.Error, OSError):  # it ended meanwhile, or its folder is gone
            continue
        if (place.st_dev, place.st_ino) == (here.st_dev, here.st_ino) and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def _is_part(process: psutil.Process) -> bool:
    """Return whether this is a part of a server, which calls itself ``postgres: <what it does>``."""
    return " ".join(_command(process)).startswith("postgres: ")


def _command(process: psutil.Process) -> Sequence[str]:
    try:
        command: Sequence[str] = process.cmdline()
    except psutil.Error:
        return []
    return command
