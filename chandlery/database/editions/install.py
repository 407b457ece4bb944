"""Sets a database up as the best edition its server can be. Run after the schema is there and before any bar is.

Not here: what each edition does (``postgres``, ``timescale``) and what the server can do (``detect``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from chandlery.core.own_packages import SQL
from chandlery.core.timeframe import Timeframe
from chandlery.database.connect import open_another
from chandlery.database.editions.base import Edition
from chandlery.database.editions.detect import ServerReport, describe_server, detect, has_bars, is_new_enough
from chandlery.database.locks import hold_lock
from chandlery.database.named_queries import query

#: Serialises several processes that install; any fixed number will do.
_LOCK = 0x65646974696F6E


def install(connection: psycopg.Connection) -> Edition:
    """Set the database up and return its edition. Idempotent; leaves alone what holds bars already.

    Where TimescaleDB is there or can be created, the empty tables of bars become hypertables. Where it cannot (its
    version, rights, bars in the tables), they stay plain; ``describe_server`` says why.

    Args:
        connection: in autocommit mode, of the role that owns the schema.

    Raises:
        StoreError: the database is set up for an extension that is not loaded.
    """
    with _no_other_installing(connection):
        if detect(connection).name == "postgres" and _has_timescaledb(connection):
            _convert(connection)
        edition = detect(connection)
        if edition.compresses:
            # Not only after a conversion: a server may have changed its licence since.
            connection.execute(_script("columnstore"))
        return edition


def _has_timescaledb(connection: psycopg.Connection) -> bool:
    """Return whether the extension is usable here; create it where that is possible and needed."""
    report = describe_server(connection)
    if report.has_bars:
        return False
    if report.timescaledb is None and not _create_extension(connection, report):
        return False
    installed = describe_server(connection).timescaledb
    return installed is not None and is_new_enough(installed)


def _create_extension(connection: psycopg.Connection, report: ServerReport) -> bool:
    available = report.timescaledb_available
    if available is None or not report.timescaledb_loaded or not is_new_enough(available):
        return False
    try:
        # On a connection of its own: where the library is not loaded after all, the server ends it. Tried even where
        # the catalogue says that we may not: managed servers have their own ways to allow it.
        with open_another(connection) as separate, separate.transaction():
            separate.execute("SET LOCAL search_path TO DEFAULT")  # whose first schema gets the extension
            separate.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except psycopg.Error:
        return False
    return True


def _convert(connection: psycopg.Connection) -> None:
    tables = sql.SQL(", ").join(sql.Identifier("market", timeframe.table) for timeframe in Timeframe)
    with connection.transaction():
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(tables))
        if has_bars(connection):
            return
        connection.execute(query("database/use_extension"))
        connection.execute(_script("hypertables"))


@contextmanager
def _no_other_installing(connection: psycopg.Connection) -> Iterator[None]:
    """Wait until no other process installs in this database, and keep it so."""
    with open_another(connection) as holder, hold_lock(holder, _LOCK):
        yield


def _script(name: str) -> bytes:
    return (SQL / "editions" / f"{name}.sql").read_bytes()
