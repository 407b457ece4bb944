"""Opens single connections, of both drivers, and makes sure that they speak as the code expects.

Not here: connections that are kept and shared (``connection_pool``, ``arrow_pool``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import conninfo

from chandlery.errors import ConfigurationError, StoreError

_OLDEST_SERVER = 150000
#: What every session is to be like.
_SETTINGS = {"timezone": "UTC", "datestyle": "ISO"}
#: Bars are to come in the order of their key, which the index has; of a table that it does not know yet, the planner
#: would rather take a bitmap's order and sort. What is read in columns may be read again, so nothing may be written.
_ARROW_SETTINGS = _SETTINGS | {"enable_bitmapscan": "off", "default_transaction_read_only": "on"}
_QUESTION = "SELECT current_setting('timezone') AS zone, current_setting('datestyle') AS style"


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
    connection = Connection.connect(_with_settings(dsn, _SETTINGS), autocommit=True)
    try:
        _check_version(connection.info.server_version)
        if not _is_as_expected(connection.execute(_QUESTION).fetchone()):
            # A pooler between us and the server may leave out what was asked for at the start.
            connection.execute(_change(_SETTINGS))
            _check(connection.execute(_QUESTION).fetchone())
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

    connection = adbc_driver_postgresql.dbapi.connect(_with_settings(dsn, _ARROW_SETTINGS))
    try:
        with connection.cursor() as cursor:
            cursor.execute(_QUESTION)
            settings = cursor.fetchone()
            if not _is_as_expected(settings):
                cursor.execute(_change(_ARROW_SETTINGS))
                cursor.fetchone()
                cursor.execute(_QUESTION)
                _check(cursor.fetchone())
        connection.commit()
    except BaseException:
        connection.close()
        raise
    return connection


def _with_settings(dsn: str, settings: Mapping[str, str]) -> str:
    """Return ``dsn`` so that the session begins with ``settings``, which stand after the user's own options."""
    given = conninfo.conninfo_to_dict(dsn)
    options = [str(given.get("options") or ""), *(f"-c {name}={value}" for name, value in settings.items())]
    return conninfo.make_conninfo(
        dsn, options=" ".join(options).strip(), application_name=given.get("application_name") or "chandlery"
    )


def _change(settings: Mapping[str, str]) -> str:
    """Return one statement that changes the session's settings; a driver may refuse several."""
    return "SELECT " + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in settings.items())


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
