"""The named queries of ``sql/queries``, as composable SQL. Not here: any query's text."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import cast

from psycopg import sql
from typing_extensions import LiteralString


@lru_cache
def query(name: str) -> sql.SQL:
    """Return ``sql/queries/<name>.sql``; its ``{placeholders}`` are filled with quoted parts by ``.format``."""
    text = files("sql").joinpath("queries", f"{name}.sql").read_text(encoding="utf-8")
    # The text is a file of this package, hence as literal as one written here.
    return sql.SQL(cast("LiteralString", text))
