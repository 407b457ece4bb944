"""Opens single connections, of both drivers, and makes sure that they speak as the code expects.

Not here: connections that are kept and shared (``connection_pool``, ``arrow_pool``).
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import conninfo

from chandlery.errors import ConfigurationError, StoreError

_OLDEST_SERVER = 150000
_OPTIONS = "-c timezone=UTC -c datestyle=ISO"
#: Bars are wanted in the order of their key, which the index has; of a table that it does not know yet, the planner
#: would rather take a bitmap's order and sort. Whatever is read in columns may be read again, so nothing is written.
_ARROW_OPTIONS = f"{_OPTIONS} -c enable_bitmapscan=off -c default_transaction_read_only=on"
_REPAIR = "SET timezone = 'UTC'; SET datestyle = 'ISO'"
_SETTINGS = "SELECT current_setting('timezone') AS zone, current_setting('datestyle') AS style"


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection in autocommit mode, in UTC, to a server that is new enough.

    Attributes:
        idle_since: when it was put back into a pool, by the monotonic clock, in seconds.
    """

    idle_since: float = 0.0


def open_connection(dsn: str) -> Connection:
    """Return a new connection of psycopg.

    Args:
        dsn: libpq connection string; its ``options`` are kept.

    Raises:
        psycopg.OperationalError: the server cannot be reached, or refuses.
        ConfigurationError: the server is too old.
        StoreError: the session is not in UTC, and cannot be.
    """
    connection = Connection.connect(_with_options(dsn, _OPTIONS), autocommit=True)
    try:
        _check_version(connection.info.server_version)
        if not _is_as_expected(connection.execute(_SETTINGS).fetchone()):
            # A pooler between us and the server may leave out what was asked for at the start.
            connection.execute(_REPAIR)
            _check(connection.execute(_SETTINGS).fetchone())
    except BaseException:
        connection.close()
        raise
    return connection


def open_arrow_connection(dsn: str) -> Any:  # noqa: ANN401 - ADBC is not typed
    """Return a new connection of ADBC, for reading only.

    Raises:
        adbc_driver_manager.Error: the server cannot be reached, or refuses.
        StoreError: the session is not in UTC, and cannot be.
    """
    import adbc_driver_postgresql.dbapi  # noqa: PLC0415 - slow to import, and writers do not need it

    connection = adbc_driver_postgresql.dbapi.connect(_with_options(dsn, _ARROW_OPTIONS))
    try:
        with connection.cursor() as cursor:
            cursor.execute(_SETTINGS)
            settings = cursor.fetchone()
            if not _is_as_expected(settings):
                cursor.execute(_REPAIR)
                cursor.execute(_SETTINGS)
                _check(cursor.fetchone())
        connection.commit()
    except BaseException:
        connection.close()
        raise
    return connection


def _with_options(dsn: str, options: str) -> str:
    given = conninfo.conninfo_to_dict(dsn)
    combined = " ".join(str(part) for part in (given.get("options"), options) if part)
    return conninfo.make_conninfo(dsn, options=combined, application_name=given.get("application_name") or "chandlery")


def _check_version(version: int) -> None:
    if version < _OLDEST_SERVER:
        raise ConfigurationError(f"the server is PostgreSQL {version // 10000}; Chandlery needs 15 or newer")


def _is_as_expected(settings: tuple[Any, ...] | None) -> bool:
    return settings is not None and settings[0] == "UTC" and str(settings[1]).startswith("ISO")


def _check(settings: tuple[Any, ...] | None) -> None:
    if not _is_as_expected(settings):
        raise StoreError(
            f"the server does not let this session use UTC and ISO dates (it uses {settings}); "
            "Chandlery would misread its times. Connect without the pooler that stands between, or ask whoever runs it"
        )
