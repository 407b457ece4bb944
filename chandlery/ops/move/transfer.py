"""Copying one part from one database to another. Not here: which parts, and in which order (``move``)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
from psycopg import sql

from chandlery.core.text import counted
from chandlery.database.editions.base import Edition
from chandlery.database.errors import explain
from chandlery.errors import StoreError
from chandlery.ops.move.contents import Checksum, TablePart, checksum

_RUN_AGAIN = "run the same command again: it goes on from there"
#: Texts travel in one encoding, and nothing runs out of time.
_SESSION = "SET client_encoding = 'UTF8'; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0"


def prepare_session(connection: psycopg.Connection) -> None:
    """Set what a connection needs so that texts arrive as they are and long statements may finish."""
    connection.execute(_SESSION)


@contextmanager
def snapshot(connection: psycopg.Connection) -> Iterator[None]:
    """Have the block see the database as it is now, whatever happens meanwhile, and change nothing."""
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        yield
    finally:
        if not connection.closed:
            connection.rollback()


def copy_part(source: psycopg.Connection, target: psycopg.Connection, edition: Edition, part: TablePart) -> Checksum:
    """Copy the rows of ``part`` and return their checksum, which is the same on both sides.

    Args:
        source: in a snapshot.
        target: in a transaction.
        edition: of the target.
        part: which rows.

    Raises:
        StoreError: the rows did not arrive as they were; names the part. The caller's transaction is to be rolled back.
    """
    if not part.rows:
        return Checksum(0, 0)
    timeframe = part.table.timeframe
    if timeframe and part.first and part.last:
        edition.prepare(target, timeframe, part.first, part.last)
    with source.cursor().copy(_copy_out(part)) as rows, target.cursor().copy(_copy_in(part)) as sink:
        for block in rows:
            sink.write(block)
    with ThreadPoolExecutor(1) as executor:
        counting = executor.submit(checksum, source, part)
        arrived = checksum(target, part)
        expected = counting.result()
    if arrived != expected:
        raise StoreError(
            f"{part}: {counted(arrived.rows, 'row')} with checksum {arrived.hash} in the target,"
            f" {expected.rows} with {expected.hash} in the source; nothing of it was kept."
            f" If nothing else writes to the target, suspect a disk or the network; then {_RUN_AGAIN}"
        )
    return expected


def delete_part(target: psycopg.Connection, part: TablePart) -> None:
    """Delete the rows of ``part``, so that it can be copied again."""
    target.execute(sql.SQL("DELETE FROM {} WHERE {}").format(part.table.identifier, part.condition))


def _copy_out(part: TablePart) -> sql.Composed:
    key = sql.SQL(", ").join(map(sql.Identifier, part.table.key))
    return sql.SQL("COPY (SELECT {} FROM {} WHERE {} ORDER BY {}) TO STDOUT (FORMAT binary)").format(
        part.table.column_list, part.table.identifier, part.condition, key
    )


def _copy_in(part: TablePart) -> sql.Composed:
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(part.table.identifier, part.table.column_list)


@contextmanager
def name_part_in_errors(part: TablePart) -> Iterator[None]:
    """Turn an error of a server into one that names the part that could not be copied."""
    try:
        yield
    except psycopg.errors.UniqueViolation:
        raise StoreError(
            f"{part}: the target holds rows of it that this move did not copy: something else writes there."
            " Drop the target database and move again"
        ) from None
    except psycopg.Error as error:
        raise StoreError(f"{part} could not be copied, and nothing of it was kept: {explain(error, '')}") from error
