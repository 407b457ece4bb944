"""Where everything is moved to: whether a database may be that, and how it becomes it.

Not here: copying (``move``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg

from chandlery.database.editions.base import Edition
from chandlery.database.editions.install import install
from chandlery.database.migrate import REVISION, current_revision, migrate
from chandlery.database.named_queries import query
from chandlery.errors import StoreError, UsageError
from chandlery.ops.move.contents import Checksum, Part, Table, has_rows, list_tables

#: A migration puts rows into these tables.
SEEDED = {"market.source", "ops.tiering"}

#: Keeps two moves into one database apart; any fixed number will do.
_LOCK = 0x63616E646D6F7665
#: How long to wait for the server to notice that the client of an earlier move is gone.
_PATIENCE = "60s"


def identify(connection: psycopg.Connection) -> str:
    """Return what tells this database from any other one, even from one of the same name that was made later."""
    found = connection.execute(
        "SELECT format('%s/%s', system_identifier, oid) FROM pg_control_system(), pg_database"
        " WHERE datname = current_database()"
    ).fetchone()
    return str(found[0]) if found else ""


@contextmanager
def alone(connection: psycopg.Connection) -> Iterator[None]:
    """Keep others from moving something into this database meanwhile.

    Raises:
        StoreError: somebody does that for longer than a server takes to notice that a killed client is gone.
    """
    connection.execute(f"SET lock_timeout = '{_PATIENCE}'")
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
    except psycopg.errors.LockNotAvailable:
        raise StoreError("another move into the target is under way") from None
    connection.execute("RESET lock_timeout")
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))


def is_moved_to(connection: psycopg.Connection) -> bool:
    """Return whether a move into this database is not complete."""
    return connection.execute("SELECT to_regclass('ops.move')").fetchone() != (None,)


def has_begun(connection: psycopg.Connection, source: str) -> bool:
    """Return whether the move of ``source`` (see ``identify``) into this database is not complete.

    Raises:
        UsageError: another database's is not.
    """
    if not is_moved_to(connection):
        return False
    if connection.execute("SELECT source FROM ops.move").fetchone() != (source,):
        raise UsageError(
            "the target holds a part of another database, whose move is not complete, and was not touched; name an"
            " empty database, or one that does not exist yet"
        )
    return True


def begin(connection: psycopg.Connection, source: str) -> None:
    """Note that the move of ``source`` is not complete."""
    with connection.transaction():
        connection.execute(query("ops/begin_move"))
        connection.execute("INSERT INTO ops.move (source) VALUES (%s)", (source,))


def set_up(connection: psycopg.Connection) -> Edition:
    """Give the database this version's schema, and make the best of its server; return its edition. Idempotent.

    Raises:
        StoreError: it has the schema of a newer version, or does not accept this one's.
    """
    found = current_revision(connection)
    if found is not None and found > REVISION:
        raise StoreError(f"the target's schema is at {found}, which is newer than this version's {REVISION}")
    migrate(connection)
    return install(connection)


def occupied(connection: psycopg.Connection) -> list[Table]:
    """Return the tables that hold something, or that are not ours."""
    tables = list_tables(connection)
    if current_revision(connection) is None:
        return tables
    return [table for table in tables if str(table) not in SEEDED and has_rows(connection, table)]


def check_tables(source: psycopg.Connection, target: psycopg.Connection) -> list[Table]:
    """Return the source's tables, all of which the target has with the same columns; raise ``StoreError`` otherwise."""
    tables = list_tables(source)
    there = {str(table): set(table.columns) for table in list_tables(target)}
    for table in tables:
        if there.get(str(table)) != set(table.columns):
            raise StoreError(f"{table} does not have the same columns on both servers; run `chandlery init` on both")
    return tables


def read_notes(connection: psycopg.Connection, tables: Sequence[Table]) -> dict[Part, Checksum]:
    """Return the parts that an earlier run brought, as they were in the source then."""
    found = connection.execute("SELECT table_name, window_key, row_count, row_hash FROM ops.move_part").fetchall()
    by_name = {str(table): table for table in tables}
    return {Part(by_name[name], key): Checksum(row_count, int(hashes)) for name, key, row_count, hashes in found}


def note(connection: psycopg.Connection, part: Part, found: Checksum) -> None:
    """Note that ``part`` is here; in the transaction that brings it."""
    connection.execute(_NOTE, (str(part.table), part.key, found.rows, found.hash))


_NOTE = """
INSERT INTO ops.move_part AS p (table_name, window_key, row_count, row_hash) VALUES (%s, %s, %s, %s)
ON CONFLICT (table_name, window_key) DO UPDATE SET row_count = excluded.row_count, row_hash = excluded.row_hash
"""
