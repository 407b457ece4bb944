"""Advisory locks: whoever publishes, derives, archives or lets bars go waits for who does the same.

Locks of instruments are taken in one order (timeframes from narrow to wide, then ids ascending) and held until the
transaction ends, so nobody waits in a circle. No lock belongs to a session: behind a pooler, the session of one
statement is not that of the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import psycopg
from psycopg import sql

from chandlery.core.timeframe import Timeframe
from chandlery.database.array_text import array_text
from chandlery.database.named_queries import query

#: Keeps our locks apart from those of other applications in the same database.
_PUBLISHING = 0x6368_0000
_ARCHIVING = 0x6368_0100


def lock_instruments(
    connection: psycopg.Connection, timeframe: Timeframe, ids: Sequence[int], *, shared: bool = False
) -> None:
    """Wait until nobody else publishes bars of ``timeframe`` for these instruments, and keep it so.

    Must be called in a transaction. Holders of a ``shared`` lock do not exclude each other.
    """
    function = sql.SQL("pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock")
    connection.execute(
        sql.SQL("SELECT {}(%(lock)s::int4, id) FROM unnest(%(ids)s::int4[]) AS id").format(function),
        {"lock": _PUBLISHING + timeframe.rank, "ids": array_text(sorted(ids))},
    )


def lock_archive(connection: psycopg.Connection, timeframe: Timeframe, instrument_id: int) -> None:
    """Wait until nobody else archives bars of ``timeframe`` of this instrument (0: of all), and keep it so."""
    connection.execute(
        "SELECT pg_advisory_xact_lock(%(lock)s::int4, %(instrument_id)s::int4)",
        {"lock": _ARCHIVING + timeframe.rank, "instrument_id": instrument_id},
    )


def lock_symbols(
    connection: psycopg.Connection, timeframes: Sequence[Timeframe], symbols: Sequence[str]
) -> psycopg.Cursor:
    """Wait until nobody else publishes bars of ``timeframes`` for the instruments of these symbols, and keep it so.

    Must be called in a transaction.

    Returns:
        Cursor of rows (symbol, instrument id, calendar, nothing) of the symbols that are registered, once for each
        timeframe. In a pipeline, they come when they are fetched.
    """
    locks = array_text(_PUBLISHING + timeframe.rank for timeframe in timeframes)
    return connection.execute(_lock_symbols(), {"locks": locks, "symbols": list(symbols)})


@cache
def _lock_symbols() -> bytes:
    # Put together once: every live batch needs it.
    return query("database/lock_symbols").as_bytes()


@contextmanager
def hold_lock(connection: psycopg.Connection, *key: int, wait: str | None = None) -> Iterator[None]:
    """Hold an advisory lock while the block runs, however long that is and whatever other connections commit.

    Args:
        connection: does nothing else meanwhile; the lock belongs to an idle transaction of it.
        key: one number, or two of 32 bits.
        wait: how long to wait for the lock at most, as ``lock_timeout``; by default as the server says.

    Raises:
        psycopg.errors.LockNotAvailable: somebody else held it for longer.
    """
    with connection.transaction():
        _let_idle(connection)
        if wait:
            connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(wait))
        connection.execute(sql.SQL("SELECT pg_advisory_xact_lock({})").format(_numbers(key)))
        yield


@contextmanager
def try_lock(connection: psycopg.Connection, *key: int) -> Iterator[bool]:
    """Yield whether the lock was free; then hold it like ``hold_lock``."""
    with connection.transaction():
        _let_idle(connection)
        row = connection.execute(sql.SQL("SELECT pg_try_advisory_xact_lock({})").format(_numbers(key))).fetchone()
        yield row == (True,)


def _let_idle(connection: psycopg.Connection) -> None:
    """Have the server not end this transaction for being idle, nor for being long."""
    connection.execute(query("database/let_idle"))


def _numbers(key: Sequence[int]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Literal, key))
