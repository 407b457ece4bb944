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
from psycopg import conninfo, sql

from chandlery.errors import ConfigurationError, StoreError
from chandlery.lake.files import Lake
from chandlery.settings import Settings
from chandlery.store.editions.base import Edition
from chandlery.store.editions.detect import detect

_OLDEST_SERVER = 150000
EMBEDDED_DATABASE = "chandlery"


class Database:
    """One market database.

    Connections are kept and handed out again; an instance may be shared by threads, a connection may not.

    Args:
        dsn: libpq connection string.
        lake: where bars go that leave it; without one, none do.
    """

    def __init__(self, dsn: str, lake: Lake | None = None) -> None:
        self.dsn = dsn
        self.lake = lake
        self._idle: list[psycopg.Connection] = []
        self._lock = threading.Lock()
        self._per_thread = threading.local()
        self._arrow: list[Any] = []
        self._sources: dict[int, str] = {}

    @classmethod
    def open(cls, settings: Settings) -> Database:
        """Return the installation's database; starts the embedded server where no other is configured.

        Raises:
            ConfigurationError: ``CHANDLERY_DATABASE_URL`` is not a PostgreSQL URL, or the server is too old.
            StoreError: the server cannot be reached.
        """
        return cls(market_dsn(settings), Lake(settings.lake))

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
            text = _without_secret(str(error), self.dsn)
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
                f"the database cannot be reached: {_without_secret(str(error), self.dsn)}{advice}"
            ) from None
        if connection.info.server_version < _OLDEST_SERVER:
            connection.close()
            raise ConfigurationError(
                f"the server is PostgreSQL {connection.info.server_version // 10000}; Chandlery needs 15 or newer"
            )
        return connection


def market_dsn(settings: Settings) -> str:
    """Return the libpq connection string of the market database; starts the embedded server where it is the one."""
    if settings.database_url is None:
        from chandlery.store import embedded  # noqa: PLC0415 - only where it is used

        socket = embedded.start(settings.home / "postgres")
        return conninfo.make_conninfo(host=socket, user="postgres", dbname=EMBEDDED_DATABASE)
    url = settings.database_url.get_secret_value()
    # SQLAlchemy's spelling of the same thing is common in .env files.
    scheme, _, rest = url.partition("://")
    if scheme.split("+")[0] not in {"postgresql", "postgres"}:
        raise ConfigurationError(
            "CHANDLERY_DATABASE_URL is not a PostgreSQL URL; write postgresql://user:password@host:5432/database"
        )
    try:
        return conninfo.make_conninfo(f"postgresql://{rest}")
    except psycopg.ProgrammingError:
        raise ConfigurationError("CHANDLERY_DATABASE_URL cannot be parsed as a PostgreSQL URL") from None


def dagster_dsn(settings: Settings) -> str:
    """Return the libpq connection string of Dagster's own database, which stands beside the market's."""
    market = market_dsn(settings)
    return conninfo.make_conninfo(market, dbname=f"{conninfo.conninfo_to_dict(market)['dbname']}_dagster")


def ensure_database(dsn: str) -> None:
    """Create the database that ``dsn`` names, where it is absent.

    Raises:
        StoreError: it is absent and this role may not create it.
    """
    wanted = conninfo.conninfo_to_dict(dsn)["dbname"]
    try:
        psycopg.connect(dsn).close()
    except psycopg.OperationalError as error:
        if "does not exist" not in str(error):
            raise StoreError(f"the database cannot be reached: {_without_secret(str(error), dsn)}") from None
    else:
        return
    maintenance = conninfo.make_conninfo(dsn, dbname="postgres")
    try:
        with psycopg.connect(maintenance, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(str(wanted))))
    except psycopg.errors.DuplicateDatabase:
        pass
    except psycopg.Error as error:
        raise StoreError(
            f"database {wanted!r} is absent and cannot be created ({_without_secret(str(error), dsn)}); "
            f"ask your administrator for: CREATE DATABASE {wanted}"
        ) from None


def _without_secret(text: str, dsn: str) -> str:
    password = conninfo.conninfo_to_dict(dsn).get("password")
    return text.replace(str(password), "***") if password else text
