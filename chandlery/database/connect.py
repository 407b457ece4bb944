"""Opens single connections, of both drivers, and makes sure that they speak as the code expects.

What a server, a database or a role prefers (time zone, form of dates, isolation, search path) never changes an answer.
A direct connection is given our settings once. Behind a pooler, which may lend another session of the server for each
transaction, nothing that is set lasts: there each transaction begins with our settings.

Not here: connections that are kept and shared (``connection_pool``, ``arrow_pool``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import Pipeline, conninfo, sql
from psycopg.pq import TransactionStatus
from psycopg.transaction import Transaction

from chandlery.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    import pyarrow as pa

    from chandlery.database.arrow_session import ArrowSession

_OLDEST_SERVER = 150000
#: What every session is to be like, whatever the server, the database or the role sets.
_SETTINGS = {
    "timezone": "UTC",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "search_path": "pg_catalog",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "quote_all_identifiers": "off",
    "default_transaction_isolation": "read committed",
}
#: Bars are to come in the order of their key, which the index has; of a table that it does not know yet, the planner
#: would rather take a bitmap's order and sort. What is read in columns may be read again, so nothing may be written.
_ARROW_SETTINGS = _SETTINGS | {"enable_bitmapscan": "off", "default_transaction_read_only": "on"}
#: Likewise for one transaction, once it has begun.
_ARROW_TRANSACTION = _SETTINGS | {"enable_bitmapscan": "off", "transaction_read_only": "on"}
_QUESTION = "SELECT current_setting('timezone') AS zone, current_setting('datestyle') AS style"
#: The same as statements, for the transaction in which they stand.
TRANSACTION_SETTINGS = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in _SETTINGS.items())


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection in autocommit mode, in UTC, to a server that is new enough.

    Attributes:
        idle_since: when it was put back into a pool, by the monotonic clock, in seconds.
        is_pooled: whether a pooler stands between, so that each transaction may meet another session of the server.
            Then a statement outside a transaction becomes one of its own, and each begins with our settings.
    """

    idle_since: float = 0.0
    is_pooled: bool = False

    @contextmanager
    def transaction(self, savepoint_name: str | None = None, force_rollback: bool = False) -> Iterator[Transaction]:
        """See ``psycopg.Connection``."""
        begins = self.is_pooled and self.info.transaction_status == TransactionStatus.IDLE
        with super().transaction(savepoint_name, force_rollback) as transaction:
            if begins:
                self.execute(TRANSACTION_SETTINGS)
                # Told by the server itself, after each change.
                _check((self.info.parameter_status("TimeZone"), self.info.parameter_status("DateStyle")))
            yield transaction

    @contextmanager
    def pipeline(self) -> Iterator[Pipeline]:
        """See ``psycopg.Connection``."""
        with self.as_transaction(), super().pipeline() as pipeline:
            yield pipeline

    def as_transaction(self) -> AbstractContextManager[object]:
        """Return a transaction where a pooler stands between and none has begun; otherwise nothing."""
        begins = self.is_pooled and self.autocommit and self.info.transaction_status == TransactionStatus.IDLE
        return self.transaction() if begins else nullcontext()


class _PooledCursor(psycopg.Cursor[tuple[Any, ...]]):
    """Makes a transaction of each statement that is not in one, so that it begins with our settings."""

    def execute(self, *args: Any, **options: Any) -> _PooledCursor:  # noqa: ANN401 - handed on as they are
        with self._as_transaction():
            return super().execute(*args, **options)

    def executemany(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - handed on as they are
        with self._as_transaction():
            super().executemany(*args, **options)

    @contextmanager
    def copy(self, *args: Any, **options: Any) -> Iterator[psycopg.Copy]:  # noqa: ANN401 - handed on as they are
        with self._as_transaction(), super().copy(*args, **options) as copy:
            yield copy

    def _as_transaction(self) -> AbstractContextManager[object]:
        connection = self.connection
        return connection.as_transaction() if isinstance(connection, Connection) else nullcontext()


def open_connection(dsn: str) -> Connection:
    """Return a new connection of psycopg.

    Args:
        dsn: libpq connection string; its ``options`` are kept.

    Raises:
        psycopg.OperationalError: the server cannot be reached, or refuses.
        ConfigurationError: the server is too old.
        StoreError: the session is not in UTC, and cannot be.
    """
    connection = Connection.connect(_with_name(dsn), autocommit=True)
    try:
        _check_version(connection.info.server_version)
        # A pooler does not know the session that it will lend, so it invents the number of the process.
        pooled = sql.SQL("(pg_catalog.pg_backend_pid() <> {})").format(connection.info.backend_pid)
        # In a transaction of the isolation that we want: a standby refuses a query in a serializable one.
        change = sql.SQL("BEGIN ISOLATION LEVEL READ COMMITTED; {}; COMMIT").format(_change(_SETTINGS, pooled))
        answers = connection.execute(change)
        answers.nextset()
        row = answers.fetchone() or (True,)
        _check(row[1:3])
        if row[0]:
            connection.is_pooled = True
            connection.prepare_threshold = None
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            connection.cursor_factory = _PooledCursor
    except BaseException:
        connection.close()
        raise
    return connection


def open_another(connection: psycopg.Connection) -> Connection:
    """Return a new connection to where ``connection`` leads; see ``open_connection``."""
    return open_connection(conninfo.make_conninfo(connection.info.dsn, password=connection.info.password or None))


def is_pooled(connection: psycopg.Connection) -> bool:
    """Return whether a pooler stands between ``connection`` and the server."""
    return isinstance(connection, Connection) and connection.is_pooled


def open_arrow_session(dsn: str, *, pooled: bool = False) -> ArrowSession:
    """Return a new session of ADBC, for reading only.

    Args:
        dsn: libpq connection string; its ``options`` are kept.
        pooled: whether a pooler stands between: the settings are up to each transaction (``begin_arrow``).

    Raises:
        adbc_driver_manager.Error: the server cannot be reached, or refuses.
        StoreError: the session is not in UTC, and cannot be.
    """
    from chandlery.database.arrow_session import ArrowSession  # noqa: PLC0415 - writers do not need it

    if pooled:
        return ArrowSession(_with_name(dsn))
    session = ArrowSession(_with_settings(dsn, _ARROW_SETTINGS))
    try:
        settings = _first_row(session.query(_QUESTION))
        if not _is_as_expected(settings):  # something between left out what was asked for at the start
            _check(_first_row(session.query(_change(_ARROW_SETTINGS, sql.SQL("false")).as_string()))[1:3])
        session.commit()
    except BaseException:
        session.close()
        raise
    return session


def begin_arrow(session: ArrowSession) -> None:
    """Give our settings to the transaction that the next query of a session begins, and check them."""
    settings = _first_row(session.query(_change(_ARROW_TRANSACTION, sql.SQL("true")).as_string()))[1:3]
    if isinstance(settings[0], bytes):  # when it connected, the driver did not recognise the names of the types
        raise StoreError("columns cannot be read through a pooler while the server has quote_all_identifiers on")
    _check(settings)


def _first_row(rows: pa.Table) -> tuple[Any, ...]:
    return tuple(column[0].as_py() for column in rows.columns)


def _with_name(dsn: str) -> str:
    """Return ``dsn`` so that the server knows who connects, and in which encoding we speak."""
    name = conninfo.conninfo_to_dict(dsn).get("application_name") or "chandlery"
    return conninfo.make_conninfo(dsn, application_name=name, client_encoding="UTF8")


def _with_settings(dsn: str, settings: Mapping[str, str]) -> str:
    """Return ``dsn`` so that the session begins with ``settings``, which stand after the user's own options."""
    given = str(conninfo.conninfo_to_dict(dsn).get("options") or "")
    ours = (f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in settings.items())
    return conninfo.make_conninfo(_with_name(dsn), options=" ".join([given, *ours]).strip())


def _change(settings: Mapping[str, str], local: sql.Composable) -> sql.Composed:
    """Return one statement that changes the settings, until the transaction ends where ``local``.

    One, because a driver may refuse several. It answers with ``local`` and the settings' values, in their order.
    """
    changes: Iterable[sql.Composed] = (
        sql.SQL("pg_catalog.set_config({}, {}, {})").format(name, value, local) for name, value in settings.items()
    )
    return sql.SQL("SELECT {}, {}").format(local, sql.SQL(", ").join(changes))


def _check_version(version: int) -> None:
    if version < _OLDEST_SERVER:
        raise ConfigurationError(f"the server is PostgreSQL {version // 10000}; Chandlery needs 15 or newer")


def _is_as_expected(settings: tuple[Any, ...] | None) -> bool:
    return settings is not None and settings[0] == "UTC" and str(settings[1]).startswith("ISO")


def _check(settings: tuple[Any, ...] | None) -> None:
    if not _is_as_expected(settings):
        raise StoreError(
            f"the server does not let a connection use UTC and ISO dates (it uses {settings}); "
            "Chandlery would misread its times. Connect without the pooler that stands between, or ask whoever runs it"
        )
