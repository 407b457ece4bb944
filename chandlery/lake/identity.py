"""Which lake belongs to a database: an id that both of them hold.

Two installations may share a database, but each could have a lake of its own. Whoever archives, lets bars leave the
store or brings them back must have the lake that the database's manifest is about. Not here: the manifest itself.
"""

from __future__ import annotations

import json
from uuid import uuid4

import psycopg

from chandlery.database.named_queries import query
from chandlery.errors import LakeError
from chandlery.lake.store import Lake

#: The file that holds the id, below the lake's root.
FILE_NAME = "lake.json"
#: Its size. A bucket's client reads the text of an error into a place of the file's size, and repeats no request whose
#: error does not fit.
_BYTES = 4096


def claim_lake(connection: psycopg.Connection, lake: Lake) -> None:
    """Make sure that ``lake`` is the database's. The first lake to which a database archives becomes its own.

    Args:
        connection: to the database, in autocommit mode, not in a transaction.
        lake: of this installation.

    Raises:
        LakeError: the database has another lake, this lake belongs to another database, or it is out of reach. Nothing
            was changed.
    """
    row = connection.execute("SELECT lake_id::text, root, marked FROM ops.lake").fetchone()
    found = read_id(lake)
    if row is None:
        _check_first(connection, lake, found)
        values = {"lake_id": found or str(uuid4()), "root": lake.root}
        connection.execute(query("lake/record_lake"), values)
        claim_lake(connection, lake)
        return
    lake_id, root, marked = row
    if found is None and not marked:
        # The database came first, so that a kill before this line leaves nothing that has to be guessed.
        with lake.staged(FILE_NAME) as staged:
            staged.write(json.dumps({"lake_id": lake_id}).ljust(_BYTES).encode())
            staged.commit()
        found = lake_id
    if found != lake_id:
        if found is None and lake.root == root:
            lake.require_root(FILE_NAME)  # it has been here: it is out of reach, not another
        raise LakeError(_difference(lake, root))
    if not marked:
        connection.execute("UPDATE ops.lake SET marked = true")


def explain_missing(connection: psycopg.Connection, lake: Lake) -> str:
    """Return what to say of a file that is not in ``lake`` because the database's lake is another; else nothing."""
    row = connection.execute("SELECT lake_id::text, root FROM ops.lake WHERE marked").fetchone()
    if row is None:
        return ""
    try:
        found = read_id(lake)
        if found is None and lake.root == row[1]:
            lake.require_root(FILE_NAME)
    except LakeError:
        return ""  # the lake is out of reach, or fails: what is said of the file says so
    return _difference(lake, row[1]) if found != row[0] else ""


def read_id(files: Lake, file_name: str = FILE_NAME, key: str = "lake_id") -> str | None:
    """Return the id of a lake, or of other files of ours; None where they have none.

    Args:
        files: whose id.
        file_name: the file that holds it, below the root.
        key: under which it stands there.

    Raises:
        LakeError: the files cannot be read, or the one that holds the id is damaged.
    """
    if not files.exists(file_name):
        return None
    with files.open(file_name) as source:
        content = source.read()
    try:
        return str(json.loads(content)[key])
    except (ValueError, KeyError, TypeError):
        raise LakeError(f"{files.describe(file_name)} is damaged: it should hold an id under {key!r}") from None


def _check_first(connection: psycopg.Connection, lake: Lake, found: str | None) -> None:
    """Raise ``LakeError`` unless this lake may become the database's, which has none yet by its own account."""
    row = connection.execute(query("lake/newest_file")).fetchone()
    if row is not None and not lake.exists(str(row[0])):
        raise LakeError(
            f"{lake.root} is not the lake of this database, which has archived to {row[0]} and other files that are not"
            " there; let CHANDLERY_LAKE name the lake that holds them"
        )
    if row is None and found is not None:
        raise LakeError(f"{lake.root} is the lake of another database; let CHANDLERY_LAKE name a place of its own")


def _difference(lake: Lake, root: str) -> str:
    return (
        f"{lake.root} is not the lake of this database, which is {root} where it was archived to first; this"
        " installation may read what is in the database, and let CHANDLERY_LAKE name the same lake for the rest"
    )
