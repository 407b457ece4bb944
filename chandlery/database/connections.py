"""How to reach the database: which server, its connections, its edition.

Not here: what is written or read (``publish``, ``read``), and the embedded server's own workings (``embedded``).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from chandlery.database.dsn import without_secret
from chandlery.database.editions.base import Edition
from chandlery.database.editions.detect import detect
from chandlery.errors import ConfigurationError, StoreError

_OLDEST_SERVER = 150000


class Database:
    """One market database.

    Connections are kept and handed out again; an instance may be shared by threads, a connection may not.

    Args:
        dsn: libpq connection string.
    """

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._idle: list[psycopg.Connection] = []
        self._lock = threading.Lock()
        self._per_thread = threading.local()
        self._arrow: list[Any] = []
        self._sources: dict[int, str] = {}

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection]:
        """Lend a connection in autocommit mode, in UTC. It is closed if the block raises.

        Where the server went away meanwhile, the next one is new.
        """
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None or connection.closed:
            connection = self._connect()
        try:
            yield connection
        except BaseException:
            lost = connection.broken
            connection.close()
            if lost:
                self._start_afresh()
            raise
        with self._lock:
            self._idle.append(connection)

    @cached_property
    def edition(self) -> Edition:
        """The server's edition."""
        with self.connection() as connection:
            return detect(connection)

    def fetch_arrow(self, statement: sql.Composed) -> pa.Table:
        """Run ``statement``, a query without placeholders, and return its rows as Arrow.

        Raises:
            StoreError: the server does not answer.
        """
        import adbc_driver_manager  # noqa: PLC0415 - slow to import, and writers do not need it

        connection = self._arrow_connection()
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement.as_string())
                rows = cursor.fetch_arrow_table()
            connection.commit()
        except adbc_driver_manager.OperationalError as error:
            self._start_afresh()
            text = without_secret(str(error), self.dsn)
            raise StoreError(f"the database does not answer any more: {text}") from None
        except BaseException:
            self._per_thread.__dict__.clear()
            raise
        return rows

    def source_names(self, ids: pa.ChunkedArray) -> dict[int, str]:
        """Return the name of every source, of which ``ids`` are some."""
        if not set(pc.unique(ids).to_pylist()) <= self._sources.keys():
            with self.connection() as connection:
                self._sources = dict(connection.execute("SELECT source_id, name FROM market.source").fetchall())
        return self._sources

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()
            while self._arrow:
                self._arrow.pop().close()
        self._per_thread = threading.local()

    def _start_afresh(self) -> None:
        """Hand out no connection that was made before."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()
        self._per_thread = threading.local()

    def _arrow_connection(self) -> Any:  # noqa: ANN401 - ADBC is not typed
        connection = getattr(self._per_thread, "connection", None)
        if connection is None:
            import adbc_driver_postgresql.dbapi  # noqa: PLC0415 - slow to import, and writers do not need it

            connection = adbc_driver_postgresql.dbapi.connect(self.dsn)
            with connection.cursor() as cursor:
                # Bars are wanted in the order of their key, which the index has; of a table that it does not know yet,
                # the planner would rather take a bitmap's order and sort.
                cursor.execute("SET enable_bitmapscan = off")
            connection.commit()
            self._per_thread.connection = connection
            with self._lock:
                self._arrow.append(connection)
        return connection

    def _connect(self) -> psycopg.Connection:
        try:
            connection = psycopg.connect(
                self.dsn, autocommit=True, options="-c timezone=UTC", application_name="chandlery"
            )
        except psycopg.OperationalError as error:
            advice = "; run `chandlery init` to create it" if "does not exist" in str(error) else ""
            raise StoreError(
                f"the database cannot be reached: {without_secret(str(error), self.dsn)}{advice}"
            ) from None
        if connection.info.server_version < _OLDEST_SERVER:
            connection.close()
            raise ConfigurationError(
                f"the server is PostgreSQL {connection.info.server_version // 10000}; Chandlery needs 15 or newer"
            )
        return connection
