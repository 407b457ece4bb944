"""A thread that puts tables into slow places, so that no reader waits for it.

What waits is bounded; what does not fit is dropped, because a cache may always forget. The thread starts when there is
something to do. It does not keep the process alive: at its end it gets a moment, and what it is writing then is whole
or not there. A forked child has a thread of its own, and nothing that waited in its parent.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from weakref import WeakSet

import pyarrow as pa

from chandlery.cache.base import retained_bytes
from chandlery.database.forks import forget_in_children

#: The most bytes that wait, and the most tables.
WAITING_BYTES, WAITING_TABLES = 128 * 1024 * 1024, 4096
#: How long the end of the process waits for what is left, in seconds.
_SECONDS_AT_EXIT = 2.0
#: After so many seconds without anything to do, the thread ends.
_SECONDS_IDLE = 10.0

_all: WeakSet[Background] = WeakSet()


class Background:
    """Puts tables where they belong, one after the other, in the order in which they came.

    Args:
        put: called in the thread with each key and table; it does not raise.
        max_bytes: the most bytes that wait.
    """

    def __init__(self, put: Callable[[str, pa.Table], None], max_bytes: int = WAITING_BYTES) -> None:
        self._put, self._max_bytes = put, max_bytes
        self.forget()
        forget_in_children(self)
        _all.add(self)

    def forget(self) -> None:
        """Begin with nothing, in a child too."""
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, tuple[pa.Table, int]] = OrderedDict()
        self._bytes = 0
        self._is_busy = self._is_closed = False
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def add(self, key: str, table: pa.Table) -> None:
        """Let the table be put soon, or drop it where too much waits."""
        size = retained_bytes(table)
        with self._changed:
            if key in self._waiting:
                return
            is_too_much = self._bytes + size > self._max_bytes and self._waiting
            if self._is_closed or is_too_much or len(self._waiting) >= WAITING_TABLES:
                self.dropped += 1
                return
            self._waiting[key] = (table, size)
            self._bytes += size
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="chandlery-cache", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # no thread can be had, or the interpreter is about to end
                    self._thread = None
            self._changed.notify_all()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that waits now is put; return whether it is.

        Args:
            timeout: the longest to wait, in seconds; None for as long as it takes.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._thread is None or not (self._waiting or self._is_busy), timeout)
            return not (self._waiting or self._is_busy)

    def close(self, timeout: float | None = None) -> None:
        """Put what waits, as far as there is time for it, and end the thread. Later tables start another one."""
        deadline = None if timeout is None else time.monotonic() + timeout
        self.flush(timeout)
        with self._changed:
            thread, self._is_closed = self._thread, True
            self._waiting.clear()
            self._bytes = 0
            self._changed.notify_all()
        if thread is not None:
            thread.join(None if deadline is None else max(deadline - time.monotonic(), 0.1))
        with self._changed:
            self._is_closed = False

    def _run(self) -> None:
        try:
            while self._put_next():
                pass
        finally:
            with self._changed:
                self._thread, self._is_busy = None, False
                self._changed.notify_all()

    def _put_next(self) -> bool:
        """Put the table that waited longest; return False where none came for a while, or none is to come."""
        with self._changed:
            self._is_busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting or self._is_closed, _SECONDS_IDLE)
            if not self._waiting:
                self._thread = None  # under the lock, so that whoever adds one now starts another thread
                return False
            key, (table, size) = self._waiting.popitem(last=False)
            self._bytes -= size
            self._is_busy = True
        self._put(key, table)
        return True


def _end_all() -> None:
    """Put what waits anywhere, as far as there is time for it."""
    deadline = time.monotonic() + _SECONDS_AT_EXIT
    for background in list(_all):
        background.close(max(deadline - time.monotonic(), 0.0))


atexit.register(_end_all)
