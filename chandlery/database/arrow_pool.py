"""A bounded number of ADBC's sessions that threads share, for reading columns.

Whoever holds one waits for nothing else, so that threads cannot wait for each other.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from chandlery.database.connect import open_arrow_session
from chandlery.database.connection_pool import ConnectionLimits
from chandlery.database.forks import forget_in_children, keep_for_ever
from chandlery.errors import StoreError

if TYPE_CHECKING:
    from chandlery.database.arrow_session import ArrowSession


@dataclass(frozen=True, slots=True)
class _ArrowConnection:
    """A session of ADBC.

    Attributes:
        session: with the server.
        opened_at: by the monotonic clock, in seconds.
        pooled: whether a pooler stood between.
    """

    session: ArrowSession
    opened_at: float
    pooled: bool


class ArrowConnections:
    """Connections of one process to one database. Safe to share between threads; a forked child has its own.

    Args:
        dsn: libpq connection string.
        limits: how many, and for how long.
    """

    def __init__(self, dsn: str, limits: ConnectionLimits) -> None:
        self._dsn = dsn
        self._limits = limits
        self._start()
        forget_in_children(self)

    def _start(self) -> None:
        self._idle: list[_ArrowConnection] = []
        self._lock = threading.Lock()
        self._supply = threading.Semaphore(self._limits.arrow)
        self._closings = 0
        self._lent: set[object] = set()

    @contextmanager
    def lend(self, *, pooled: bool) -> Iterator[ArrowSession]:
        """Lend a session; it is closed if the block raises.

        Args:
            pooled: whether a pooler stands between, so that the settings are up to each transaction.

        Raises:
            StoreError: none was given back in time.
            adbc_driver_manager.Error: the server cannot be reached, or refuses.
        """
        supply = self._supply
        if not supply.acquire(timeout=self._limits.wait_seconds):
            raise StoreError(
                f"all {self._limits.arrow} connections of this process that read columns were in use for "
                f"{self._limits.wait_seconds:g} s; use fewer threads, or give the Database greater ConnectionLimits"
            )
        lent, loan = self._lent, object()  # a child that is forked meanwhile counts its own
        lent.add(loan)
        try:
            with self._lend(pooled) as session:
                yield session
        finally:
            lent.discard(loan)
            supply.release()

    @property
    def lent(self) -> int:
        """How many connections are lent just now."""
        return len(self._lent)

    def close(self) -> None:
        """Close the connections; those that are lent when they are given back. The next ``lend`` opens others."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._closings += 1
        for kept in idle:
            kept.session.close()

    def forget(self) -> None:
        """See ``Forgetful``."""
        keep_for_ever(self._idle)
        self._start()

    @contextmanager
    def _lend(self, pooled: bool) -> Iterator[ArrowSession]:
        owner, closings = os.getpid(), self._closings
        lent = self._take(pooled)
        try:
            yield lent.session
        except BaseException:
            if os.getpid() == owner:
                lent.session.close()
            else:
                keep_for_ever(lent)
            raise
        if os.getpid() != owner:  # a child was forked in the block
            keep_for_ever(lent)
            return
        with self._lock:
            kept = closings == self._closings
            if kept:
                self._idle.append(lent)
        if not kept:
            lent.session.close()

    def _take(self, pooled: bool) -> _ArrowConnection:
        """Return the connection that was used last, or a new one where none is idle and young enough."""
        oldest = monotonic() - self._limits.lifetime_seconds
        expired: list[_ArrowConnection] = []
        with self._lock:
            idle, self._idle = self._idle, []
            for kept in idle:
                (self._idle if kept.opened_at >= oldest and kept.pooled == pooled else expired).append(kept)
            lent = self._idle.pop() if self._idle else None
        for kept in expired:
            kept.session.close()
        return lent or _ArrowConnection(open_arrow_session(self._dsn, pooled=pooled), monotonic(), pooled)
