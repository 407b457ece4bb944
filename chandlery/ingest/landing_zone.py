"""Which landing zone an answer lies in: installations that share a database may each have one of their own.

A zone has an id, in the file ``landing.json`` below its root, and each file of an answer bears it in its name. So a row
of ``ops.landing`` says by its path whether the file is here. Not here: the answers themselves (``landing``).
"""

from __future__ import annotations

import json
import re
import secrets

import psycopg

from chandlery.database.locks import hold_lock
from chandlery.errors import LakeError
from chandlery.lake.identity import read_id
from chandlery.lake.store import Lake

FILE_NAME = "landing.json"
#: Of the advisory lock that is held while the file is made.
_LOCK = 0x6368_0400
_NAME = re.compile(r"_(?P<zone>[0-9a-f]{8})_[0-9a-f]{12}\.parquet$")


def read_zone(files: Lake) -> str | None:
    """Return the id of the zone in ``files``; None where nothing has landed there yet.

    Raises:
        LakeError: the zone cannot be read, or its file is damaged.
    """
    return read_id(files, FILE_NAME, "zone")


def make_zone(connection: psycopg.Connection, files: Lake) -> str:
    """Return the id of the zone in ``files``, which is made where it is absent; of several at once, by one.

    Raises:
        LakeError: the zone cannot be read or written to.
    """
    with hold_lock(connection, _LOCK):
        zone = read_zone(files)
        if zone is None:
            zone = secrets.token_hex(4)
            with files.staged(FILE_NAME) as staged:
                staged.write(json.dumps({"zone": zone}).encode())
                staged.commit()
    return zone


def file_name(begin: str, end: str, zone: str) -> str:
    """Return a new name for the file of an answer in ``zone``."""
    return f"{begin}_{end}_{zone}_{secrets.token_hex(6)}.parquet"


def is_elsewhere(path: str, zone: str | None) -> bool:
    """Return whether the answer at ``path`` lies in another zone than ``zone``, that of this installation."""
    match = _NAME.search(path)
    return match is not None and match["zone"] != zone


def explain_elsewhere(files: Lake, path: str) -> LakeError:
    """Return the error about an answer that lies in another zone."""
    return LakeError(
        f"{path} landed in the landing zone of another installation on this database, not in {files.root}; do this"
        " there, or let CHANDLERY_LANDING name the same zone for both"
    )
