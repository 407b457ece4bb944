"""The named queries of ``sql/queries``, as composable SQL. Not here: any query's text."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

from psycopg import sql


@lru_cache
def query(name: str) -> sql.SQL:
    """Return ``sql/queries/<name>.sql``; its ``{placeholders}`` are filled with quoted parts by ``.format``."""
    return sql.SQL(files("sql").joinpath("queries", f"{name}.sql").read_text(encoding="utf-8"))
