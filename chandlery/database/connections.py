"""How to reach the database: its connections, and its edition.

Not here: what is written or read (``bars``, ``reading``), and the embedded server's own workings (``embedded``).
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, Self, TypeVar

import psycopg
from psycopg import sql

from chandlery.database.arrow_pool import ArrowConnections
from chandlery.database.connect import begin_arrow, is_pooled, open_connection
from chandlery.database.connection_pool import ConnectionLimits, SharedConnections
from chandlery.database.editions.base import Edition
from chandlery.database.editions.detect import detect
from chandlery.database.errors import explain, is_connection_lost
from chandlery.database.forks import keep_for_ever
from chandlery.errors import StoreUnavailableError

if TYPE_CHECKING:
    import pyarrow as pa

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Snapshot(NamedTuple):
    """One state of the database, for as long as the block of ``Database.snapshot`` runs.

    Attributes:
        connection: sees this state, and can only read.
        name: by which another session sees it too.
    """

    connection: psycopg.Connection
    name: str


@dataclass(frozen=True, slots=True)
class ConnectionStats:
    """Connections of this process to one database, now.

    Attributes:
        open: connections, without those that carry columns (ADBC).
        idle: those of them that nobody uses.
        waiting: threads that wait for one.
        limit: the most of them that there may be.
        arrow_lent: connections that carry columns just now.
        arrow_limit: the most of these.
    """

    open: int
    idle: int
    waiting: int
    limit: int
    arrow_lent: int
    arrow_limit: int


class Database:
    """One market database. May be shared by threads, and by forked children, each of which has its own connections.

    Nothing is connected until something is read or written. A process never shares more than ``limits.total``
    connections; who needs one while all are lent waits.

    Args:
        dsn: libpq connection string.
        limits: how many connections there may be, and for how long.
    """

    def __init__(self, dsn: str, limits: ConnectionLimits | None = None) -> None:
        self.dsn = dsn
        self.limits = limits or ConnectionLimits()
        self._shared = SharedConnections(dsn, self.limits)
        self._arrow = ArrowConnections(dsn, self.limits)
        self._edition: Edition | None = None
        self._is_pooled: bool | None = None
        # Also where nobody closes it: when it is no longer used, and when Python ends.
        self._finalizer = weakref.finalize(self, _close, self._shared, self._arrow)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[Database], tuple[str, ConnectionLimits]]:
        """Let a spawned process have one like it, with connections of its own."""
        return Database, (self.dsn, self.limits)

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection]:
        """Lend a connection in autocommit mode, in UTC. It is closed if the block raises.

        A connection that the server dropped while it was idle is replaced before it is lent. Waits where all are lent.
        A thread may ask for a second and a third while it holds one. A connection that is held for as long as a run
        lasts must be ``dedicated``, because others would wait for it.

        Raises:
            StoreError: the server refused a statement, or no connection became free in time.
            StoreUnavailableError: the server cannot be reached, or ended the connection.
        """
        try:
            with self._shared.lend() as connection:
                self._is_pooled = connection.is_pooled
                yield connection
        except psycopg.Error as error:
            failure = explain(error, self.dsn)
            if isinstance(failure, StoreUnavailableError):
                self._shared.close()  # the others will have been dropped as well
            raise failure from error

    @contextmanager
    def dedicated(self) -> Iterator[psycopg.Connection]:
        """Open a connection like those of ``connection`` that is shared with nobody, and close it after the block.

        For what is held for long, such as a lock that lasts as long as a run, and for settings of a session.

        Raises:
            StoreError: the server refused a statement.
            StoreUnavailableError: the server cannot be reached, or ended the connection.
        """
        owner = os.getpid()
        try:
            connection = open_connection(self.dsn)
        except psycopg.Error as error:
            raise explain(error, self.dsn) from None  # its own text may have the password
        try:
            yield connection
        except psycopg.Error as error:
            raise explain(error, self.dsn) from error
        finally:
            if os.getpid() == owner:
                connection.close()
            else:  # a child was forked in the block
                keep_for_ever(connection)

    @property
    def edition(self) -> Edition:
        """The server's edition."""
        if self._edition is None:
            with self.connection() as connection:
                self._edition = detect(connection)
        return self._edition

    @property
    def is_pooled(self) -> bool:
        """Whether a pooler stands between, so that nothing outlasts a transaction but what it wrote."""
        if self._is_pooled is None:
            with self.connection() as connection:
                return is_pooled(connection)
        return self._is_pooled

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Hold one state of the database while the block runs: what others commit meanwhile is not seen in it.

        Raises:
            StoreError: the server refused a statement, or no connection became free in time.
            StoreUnavailableError: the server cannot be reached, or ended the connection.
        """
        with self.connection() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            (name,) = connection.execute("SELECT pg_catalog.pg_export_snapshot()").fetchone() or ("",)
            yield Snapshot(connection, name)

    def fetch_arrow(self, statement: sql.Composed, *, snapshot: Snapshot | None = None) -> pa.Table:
        """Run ``statement``, a query without placeholders, and return its rows as Arrow.

        With ``snapshot``, of the state that it holds; otherwise as it is when the statement begins.

        The session can only read, so the query is repeated once where the server had dropped the connection.

        Raises:
            StoreError: the server refused the query, or no connection became free in time.
            StoreUnavailableError: the server cannot be reached, or ended the connection twice.
        """
        import adbc_driver_manager  # noqa: PLC0415 - slow to import, and writers do not need it

        text = statement.as_string()
        try:
            try:
                return self._fetch(text, snapshot)
            except adbc_driver_manager.Error as error:
                if not is_connection_lost(error):
                    raise
                self._arrow.close()  # the others will have been dropped as well
                return self._fetch(text, snapshot)
        except adbc_driver_manager.Error as error:
            if is_connection_lost(error):
                self._check_reachable()
            raise explain(error, self.dsn) from None

    def stats(self) -> ConnectionStats:
        """Return how many connections this process has, and how many of them are in use."""
        most, arrow = self.limits.total - self.limits.arrow, self.limits.arrow
        return ConnectionStats(*self._shared.stats(), most, self._arrow.lent, arrow)

    def close(self) -> None:
        """Close all connections; those that are lent when they are given back. The next use opens others."""
        _close(self._shared, self._arrow)

    def _fetch(self, text: str, snapshot: Snapshot | None) -> pa.Table:
        pooled = self.is_pooled
        with self._arrow.lend(pooled=pooled) as session:
            if snapshot is not None:
                session.see(snapshot.name)
            if pooled:
                begin_arrow(session)
            rows = session.query(text)
            session.commit()
        return rows

    def _check_reachable(self) -> None:
        """Raise what the other driver says where the server cannot be reached: it tells why."""
        with self.dedicated():
            pass


def repeat_read_once(read: Callable[_P, _R]) -> Callable[_P, _R]:
    """Return ``read``, which writes nothing, so that it is called again where the server ended a connection meanwhile.

    A second failure is raised. Never use it for a function that writes: the first call may have been committed.
    """

    @wraps(read)
    def repeated(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return read(*args, **kwargs)
        except StoreUnavailableError:
            return read(*args, **kwargs)

    return repeated


def _close(shared: SharedConnections, arrow: ArrowConnections) -> None:
    shared.close()
    arrow.close()
