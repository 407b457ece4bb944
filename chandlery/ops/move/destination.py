"""The database that everything is moved to: whether it may be, how it is made ready, and what has arrived there.

Not here: copying (``move``, ``transfer``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import compress

import psycopg

from chandlery.database.editions.base import Edition
from chandlery.database.editions.install import install
from chandlery.database.locks import hold_lock
from chandlery.database.migrate import REVISION, current_revision, migrate
from chandlery.database.named_queries import query
from chandlery.errors import StoreError
from chandlery.ops.move.contents import Checksum, Table, TablePart, have_rows, list_tables

#: A migration puts rows into these tables.
SEEDED = {"market.source", "ops.tiering"}

#: Keeps two moves into one database apart; any fixed number will do.
_LOCK = 0x63616E646D6F7665
#: How long to wait for another move: the server may not have noticed yet that the client of an earlier one is gone.
_LOCK_TIMEOUT = "60s"


def identify(connection: psycopg.Connection) -> str:
    """Return what tells this database from any other one, even from one of the same name that was made later."""
    row = connection.execute(
        "SELECT format('%s/%s', system_identifier, oid) FROM pg_control_system(), pg_database"
        " WHERE datname = current_database()"
    ).fetchone()
    return str(row[0]) if row else ""


@contextmanager
def lock_for_move(connection: psycopg.Connection) -> Iterator[None]:
    """Keep other moves out of this database while the block runs.

    Args:
        connection: does nothing else meanwhile.

    Raises:
        StoreError: another move is under way, for longer than a server takes to notice that a killed client is gone.
    """
    with ExitStack() as held:
        try:
            held.enter_context(hold_lock(connection, _LOCK, wait=_LOCK_TIMEOUT))
        except psycopg.errors.LockNotAvailable:
            raise StoreError("another move into the target is under way") from None
        yield


def begin(connection: psycopg.Connection, source: str) -> None:
    """Record that the move of ``source`` (see ``identify``) into this database is not complete."""
    with connection.transaction():
        connection.execute(query("ops/begin_move"))
        connection.execute("INSERT INTO ops.move (source) VALUES (%(source)s)", {"source": source})


def set_up(connection: psycopg.Connection) -> Edition:
    """Give the database this version's schema, and make the best of its server; return its edition. Idempotent.

    Raises:
        StoreError: it has the schema of a newer version, or does not accept this one's.
    """
    revision = current_revision(connection)
    if revision is not None and revision > REVISION:
        raise StoreError(f"the target's schema is at {revision}, which is newer than this version's {REVISION}")
    migrate(connection)
    return install(connection)


def list_filled_tables(connection: psycopg.Connection) -> list[Table]:
    """Return the tables that hold more than a migration puts there; where there is no schema of ours, all tables."""
    tables = list_tables(connection)
    if current_revision(connection) is None:
        return tables
    ours = [table for table in tables if str(table) not in SEEDED]
    return list(compress(ours, have_rows(connection, ours)))


def check_tables(source: psycopg.Connection, target: psycopg.Connection) -> list[Table]:
    """Return the source's tables, all of which the target has with the same columns; raise ``StoreError`` otherwise."""
    tables = list_tables(source)
    columns = {str(table): set(table.columns) for table in list_tables(target)}
    for table in tables:
        if columns.get(str(table)) != set(table.columns):
            raise StoreError(f"{table} does not have the same columns on both servers; run `chandlery init` on both")
    return tables


def read_copied_parts(connection: psycopg.Connection, tables: Sequence[Table]) -> dict[TablePart, Checksum]:
    """Return the parts that an earlier run copied, as they were in the source then."""
    rows = connection.execute("SELECT table_name, window_key, row_count, row_hash FROM ops.move_part").fetchall()
    by_name = {str(table): table for table in tables}
    return {TablePart(by_name[name], key): Checksum(row_count, int(hashes)) for name, key, row_count, hashes in rows}


def record_copied_parts(connection: psycopg.Connection, copied: Mapping[TablePart, Checksum]) -> None:
    """Record that parts are here, and their checksums; in the transaction that copies them."""
    values = {
        "tables": [str(part.table) for part in copied],
        "windows": [part.key for part in copied],
        "rows": [checksum.rows for checksum in copied.values()],
        "hashes": [checksum.hash for checksum in copied.values()],
    }
    connection.execute(query("ops/record_copied_parts"), values)
