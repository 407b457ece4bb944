"""A bounded number of psycopg's connections that threads share.

A thread may ask for another connection while it holds one (who publishes may have to read). If all took from one
supply, threads that hold the last connections could wait for each other for ever. So each depth of nesting has a supply
of its own, and whoever holds a connection of one depth only ever waits for the next: somebody can always go on.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from chandlery.database.connect import Connection, open_connection
from chandlery.database.errors import explain, passwords_of_dsn
from chandlery.database.forks import forget_in_children, keep_for_ever
from chandlery.errors import ChandleryError, StoreError, StoreUnavailableError
from chandlery.redaction.text import hide

# Without a handler Python would print the warnings of the driver and its pool, which we raise as errors.
for _name in ("psycopg", "psycopg.pool"):
    logging.getLogger(_name).addHandler(logging.NullHandler())

#: SQLSTATE: the server, or this role, has no connection left.
_TOO_MANY = "53300"


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections a process may have to a database, and for how long.

    Attributes:
        shared: connections that threads share.
        nested: further connections for threads that hold one already, those that hold two, and so on.
        arrow: connections of ADBC, which carries columns.
        wait_seconds: how long a thread waits for a connection while others hold all.
        connect_seconds: how long a thread waits for the server to accept a connection.
        lifetime_seconds: a connection that is older is replaced when it is given back.
        idle_seconds: a connection that was not needed for so long is closed.
        trusted_seconds: a connection that was idle for longer is tried before it is lent.
    """

    shared: int = 8
    nested: tuple[int, ...] = (4, 2, 1)
    arrow: int = 4
    wait_seconds: float = 60.0
    connect_seconds: float = 60.0
    lifetime_seconds: float = 3600.0
    idle_seconds: float = 600.0
    trusted_seconds: float = 30.0

    @property
    def total(self) -> int:
        """The most connections a process ever shares, not counting those that are ``dedicated``."""
        return self.shared + sum(self.nested) + self.arrow


@dataclass
class _LastFailure:
    """Why the latest attempt of a pool to connect failed; None where it did not."""

    error: Exception | None = None


class _Connector(Connection):
    """Connects for a pool, so that whoever waits for a connection can learn why there is none."""

    @classmethod
    def connect(cls, conninfo: str = "", *, failure: _LastFailure) -> Connection:  # type: ignore[override]
        """Return a new connection; note in ``failure`` how that went."""
        try:
            connection = open_connection(conninfo)
        except (psycopg.Error, ChandleryError) as error:
            failure.error = error
            # The pool logs what it catches.
            raise psycopg.OperationalError(hide(str(error), *passwords_of_dsn(conninfo))) from None
        failure.error = None
        return connection


@dataclass
class _Holdings:
    """How many connections a thread holds."""

    count: int = 0


class SharedConnections:
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
        self._pool: ConnectionPool[Connection] | None = None
        self._failure = _LastFailure()
        self._lock = threading.Lock()
        self._supplies = [threading.Semaphore(count) for count in (self._limits.shared, *self._limits.nested)]
        self._threads = threading.local()
        self._waiting = 0

    @contextmanager
    def lend(self) -> Iterator[Connection]:
        """Lend a connection in autocommit mode, in UTC; it is closed if the block raises.

        Raises:
            StoreError: none was given back in time, or this thread holds as many as it may.
            StoreUnavailableError: the server cannot be reached.
        """
        holdings = self._holdings()
        if holdings.count >= len(self._supplies):
            raise StoreError(f"a thread may hold {len(self._supplies)} connections at a time, and asks for another")
        supply = self._supplies[holdings.count]
        if not (supply.acquire(blocking=False) or self._wait_for(supply)):
            raise self._exhausted()
        holdings.count += 1
        try:
            with self._lend_from_pool() as connection:
                yield connection
        finally:
            holdings.count -= 1
            supply.release()

    def stats(self) -> tuple[int, int, int]:
        """Return how many connections are open, how many of them are idle, and how many threads wait for one."""
        with self._lock:
            seen = {} if self._pool is None else self._pool.get_stats()
            return seen.get("pool_size", 0), seen.get("pool_available", 0), self._waiting

    def close(self) -> None:
        """Close the connections; those that are lent when they are given back. The next ``lend`` opens others."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            with suppress(RuntimeError):  # a worker of the pool lets go of it last, and cannot wait for itself
                pool.close()

    def forget(self) -> None:
        """See ``Forgetful``."""
        keep_for_ever(self._pool)
        self._start()

    def _wait_for(self, supply: threading.Semaphore) -> bool:
        """Return whether a connection was given back in time."""
        with self._lock:
            self._waiting += 1
        try:
            return supply.acquire(timeout=self._limits.wait_seconds)
        finally:
            with self._lock:
                self._waiting -= 1

    def _holdings(self) -> _Holdings:
        holdings: _Holdings | None = getattr(self._threads, "holdings", None)
        if holdings is None:
            holdings = self._threads.holdings = _Holdings()
        return holdings

    @contextmanager
    def _lend_from_pool(self) -> Iterator[Connection]:
        owner = os.getpid()
        pool, connection = self._take()
        try:
            yield connection
        except BaseException:
            # Its settings, temporary tables and locks may be any.
            if os.getpid() == owner:
                connection.close()
            raise
        finally:
            if os.getpid() == owner:
                connection.idle_since = monotonic()
                pool.putconn(connection)
            else:  # a child was forked in the block
                keep_for_ever((pool, connection))

    def _take(self) -> tuple[ConnectionPool[Connection], Connection]:
        until = monotonic() + self._limits.connect_seconds
        while True:
            pool, failure = self._open_pool()
            try:
                connection = pool.getconn(timeout=until - monotonic())
            except PoolClosed:
                if failure.error is None:  # somebody called ``close``
                    continue
                raise self._unreachable(failure) from None
            except PoolTimeout:
                raise self._unreachable(failure) from None
            if self._is_usable(connection):
                return pool, connection
            connection.close()
            pool.putconn(connection)

    def _open_pool(self) -> tuple[ConnectionPool[Connection], _LastFailure]:
        with self._lock:
            if self._pool is None:
                self._failure = _LastFailure()
                self._pool = ConnectionPool(
                    self._dsn,
                    connection_class=_Connector,
                    kwargs={"failure": self._failure},
                    min_size=0,
                    max_size=self._limits.shared + sum(self._limits.nested),
                    open=True,
                    max_lifetime=self._limits.lifetime_seconds,
                    max_idle=self._limits.idle_seconds,
                    # Whoever waits hears at once that there is no connection to be had, and may try again.
                    reconnect_timeout=0.0,
                    reconnect_failed=self._give_up,
                    num_workers=1,
                )
            return self._pool, self._failure

    def _give_up(self, pool: ConnectionPool[Any]) -> None:
        """Let everybody who waits know that the server cannot be reached.

        Where it only has no further connection to give, those that are lent will be given back. Otherwise to wait for
        these is in vain: they are broken too, or it is who holds one that waits for another.
        """
        if pool.get_stats()["pool_size"] > 0 and self._has_too_few():
            return
        with self._lock:
            if self._pool is pool:
                self._pool = None
        # On a thread of its own, because ``close`` waits for the end of the pool's threads, of which this is one.
        with suppress(RuntimeError):  # no thread is to be had when Python ends
            threading.Thread(target=pool.close, daemon=True).start()

    def _has_too_few(self) -> bool:
        """Return whether the latest attempt to connect failed because the server has no connection left."""
        error = self._failure.error
        return isinstance(error, psycopg.Error) and explain(error, self._dsn).sqlstate == _TOO_MANY

    def _unreachable(self, failure: _LastFailure) -> ChandleryError:
        if failure.error is None:
            return StoreUnavailableError(
                f"the server did not accept a connection within {self._limits.connect_seconds:g} s; try again"
            )
        return failure.error if isinstance(failure.error, ChandleryError) else explain(failure.error, self._dsn)

    def _exhausted(self) -> StoreError:
        return StoreError(
            f"all {self._limits.shared} connections of this process to the database were in use for "
            f"{self._limits.wait_seconds:g} s; use fewer threads, or give the Database greater ConnectionLimits"
        )

    def _is_usable(self, connection: Connection) -> bool:
        """Return whether the server still holds the session; ask it only where there is a reason to doubt."""
        if connection.closed:
            return False
        idle = monotonic() - connection.idle_since if connection.idle_since else 0.0
        if idle <= self._limits.trusted_seconds and not _has_input(connection):
            return True
        try:
            connection.execute("")
        except psycopg.Error:
            return False
        return True


def _has_input(connection: Connection) -> bool:
    """Return whether the server sent something unasked, such as that the session is over, or closed the socket."""
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLIN)
    return bool(poller.poll(0))
