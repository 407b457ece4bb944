"""Compares a database's tables with those that this version's migrations make (``sql/schema.txt``).

The revision alone proves little: a migration may have been another one when it was run, or somebody changed a table by
hand. Not here: migrating (``migrate``).
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from chandlery.core.own_packages import SQL
from chandlery.database.named_queries import query
from chandlery.errors import StoreError

#: What the tables are to be like, line by line.
EXPECTED = SQL / "schema.txt"
_SHOWN = 12


def describe_schema(connection: psycopg.Connection) -> list[str]:
    """Return what our tables are like, as lines that are the same on every edition and version of the server."""
    return [str(line) for (line,) in connection.execute(query("database/describe_schema"))]


def find_differences(connection: psycopg.Connection) -> list[str]:
    """Return what is missing and what is too much, in words; nothing where the tables are as they should be.

    Further indices are no difference, because they change no answer.
    """
    expected = EXPECTED.read_text(encoding="utf-8").splitlines()
    present = describe_schema(connection)
    known, found = set(expected), set(present)
    missing = [f"missing: {line}" for line in expected if line not in found]
    return missing + [f"unknown: {line}" for line in present if line not in known and not line.startswith("index ")]


def check_tables(connection: psycopg.Connection) -> None:
    """Raise ``StoreError`` unless the tables are those that the migrations of this version make."""
    differences = find_differences(connection)
    if differences:
        raise StoreError(_message(differences))


def _message(differences: Sequence[str]) -> str:
    more = len(differences) - _SHOWN
    lines = [*differences[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]
    return (
        "the tables are not those of this version, although their revision is: a migration was another one when it was"
        " run here, or somebody changed a table\n  "
        + "\n  ".join(lines)
        + "\nChange the tables to what is missing above"
        " (sql/migrations says how they are made), restore a backup, or name a new database in CHANDLERY_DATABASE_URL;"
        " then run `chandlery init` again"
    )
