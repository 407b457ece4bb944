"""A small process beside the web UI that outlives it just long enough: it ends what the UI started, and writes its log.

Everything that ``serve`` starts is in this process's group. When the UI ends, however it ends, the pipe from it breaks,
and whatever is left of the group is stopped: a server that nobody stops any more, and runs under way. So it is when the
UI does not show any more that it is the one of its database, because it was stopped (Ctrl-Z) or hears nothing from the
server: another may be that soon. What the group writes is copied into a log of bounded size.

Not here: what is started, and stopping it in good order (``serve``).
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

import psutil

from chandlery.redaction.text import hide

LOG_BYTES, EARLIER_LOGS = 4 * 1024 * 1024, 3
#: Its exit code where it ended the group because the UI was not heard of.
UNHEARD = 3
_SECONDS_TO_STOP = 10.0
#: It waits for a beat in so many parts. However long all processes stood still, as on a machine that sleeps, it counts
#: as one part.
_WAITS = 10


@dataclass(frozen=True, slots=True)
class Watchdog:
    """A running watchdog.

    Attributes:
        process: of it. Its number is that of the process group that it ends.
        output: file descriptor; what is written there comes into the log.
    """

    process: subprocess.Popen[bytes]
    output: int


@contextmanager
def watchdog(log: Path, folder: Path, lock: int, beats: int, silence: float) -> Iterator[Watchdog]:
    """Keep a watchdog for as long as this process lives, or until the end of the block.

    At the end, all that is left of its process group is stopped, and waited for.

    Args:
        log: to which it appends; earlier logs are beside it, as ``ui.log.1`` and so on.
        folder: which it deletes at the end.
        lock: file descriptor that it keeps open, so that a lock lasts until everything has ended.
        beats: file descriptor to which something comes as long as the group may live: not where it is at its end.
        silence: after how many seconds in which nothing came the group ends. Much longer than beats are apart, so that
            no busy machine looks like one that is silent.
    """
    reading, writing = os.pipe()
    # Modules are looked for where they are installed: the working directory may hold others that are called the same.
    env = os.environ | {"PYTHONSAFEPATH": "1"}
    try:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "pipelines.watchdog", *map(str, (log, folder, reading, beats, silence))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=env,
            pass_fds=[reading, lock, beats],
            process_group=0,
        )
        os.close(reading)
        reading = -1
        try:
            yield Watchdog(process, writing)
        finally:
            os.close(writing)
            writing = -1
            process.communicate()  # closes the pipe, and waits
    finally:
        for descriptor in (reading, writing):
            if descriptor >= 0:
                os.close(descriptor)


def main() -> None:
    """Watch until the other end of standard input is closed or the UI is not heard of, then end the group."""
    log, folder, output = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    beats, silence = int(sys.argv[4]), float(sys.argv[5])
    # What ends the others does not end this one; Ctrl-C and a hang-up are the UI's to handle.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    copying = threading.Thread(target=_copy, args=(output, log), daemon=True)
    copying.start()
    unheard = not _await_end(sys.stdin.fileno(), beats, silence)
    if unheard:
        logging.getLogger("ui").info(
            f"---- nothing was heard of the web UI for {silence:g} seconds: all of it ends ----"
        )
    _end_group()
    shutil.rmtree(folder, ignore_errors=True)
    copying.join(1)
    sys.exit(UNHEARD if unheard else 0)


def _await_end(ending: int, beats: int, silence: float) -> bool:
    """Wait until one of the two pipes is at its end, which is True, or nothing came for so long, which is False."""
    quiet = 0
    while quiet < _WAITS:
        ready, _, _ = select.select([ending, beats], [], [], silence / _WAITS)
        if any(not os.read(descriptor, 4096) for descriptor in ready):
            return True
        quiet = 0 if ready else quiet + 1
    return False


def _copy(output: int, log: Path) -> None:
    """Append what comes to the log, which is begun anew when it is large."""
    handler = RotatingFileHandler(log, maxBytes=LOG_BYTES, backupCount=EARLIER_LOGS, encoding="utf-8")
    logger = logging.getLogger("ui")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    logger.info(f"---- {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC: the web UI starts ----")
    with os.fdopen(output, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            logger.info(hide(line.rstrip("\n")))


def _end_group() -> None:
    """Ask the others of this process's group to end, and after some time make them."""
    if _others():
        os.killpg(0, signal.SIGTERM)
    for deadline in (time.monotonic() + _SECONDS_TO_STOP, time.monotonic() + 2 * _SECONDS_TO_STOP):
        while (others := _others()) and time.monotonic() < deadline:
            time.sleep(0.1)
        for process in others:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def _others() -> list[psutil.Process]:
    """Return the living processes of this process's group, without itself."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and os.getpgid(process.pid) == os.getpgrp():
                found += [process] if process.status() != psutil.STATUS_ZOMBIE else []
    return found


if __name__ == "__main__":
    main()
