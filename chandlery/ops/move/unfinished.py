"""Whether a database is the unfinished copy of another. Not here: copying (``move``)."""

from __future__ import annotations

import psycopg

from chandlery.errors import UsageError


def is_unfinished(connection: psycopg.Connection) -> bool:
    """Return whether a move into this database was begun and is not complete."""
    return connection.execute("SELECT to_regclass('ops.move')").fetchone() != (None,)


def is_unfinished_move_of(connection: psycopg.Connection, source: str) -> bool:
    """Return whether the move of ``source`` (see ``identify``) into this database was begun and is not complete.

    Raises:
        UsageError: the move of another database was.
    """
    if not is_unfinished(connection):
        return False
    if connection.execute("SELECT source FROM ops.move").fetchone() != (source,):
        raise UsageError(
            "the target holds a part of another database, whose move is not complete, and was not touched; name an"
            " empty database, or one that does not exist yet"
        )
    return True
