"""Finds out what a server is: how this database was set up, and what could be.

Not here: setting it up (``install``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from chandlery.core.timeframe import Timeframe
from chandlery.database.editions.base import Edition
from chandlery.database.editions.postgres import PostgresEdition
from chandlery.database.editions.timescale import TimescaleEdition
from chandlery.database.named_queries import query
from chandlery.errors import StoreError

#: The oldest TimescaleDB whose functions we use.
OLDEST_TIMESCALEDB = (2, 17)


@dataclass(frozen=True, slots=True)
class ServerReport:
    """What a server can do, and what Chandlery made of it.

    Attributes:
        edition: as which the database is set up.
        postgresql: version of the server.
        timescaledb: version of the extension in this database; None where it is not created.
        timescaledb_available: version that can be created; None where the server has none.
        timescaledb_loaded: whether the server loads it at its start, without which it cannot be created.
        licence: ``timescale`` or ``apache``; None where the extension is not created.
        pgvector: version of the extension in this database; None where it is not created.
        pgvector_available: version that can be created; None where the server has none.
        may_create_extensions: whether this role may create TimescaleDB here, as far as the catalogue tells.
        has_bars: whether any bar is stored.
        advice: what a person may do about it, in a sentence; empty where there is nothing.
    """

    edition: Edition
    postgresql: str
    timescaledb: str | None
    timescaledb_available: str | None
    timescaledb_loaded: bool
    licence: str | None
    pgvector: str | None
    pgvector_available: str | None
    may_create_extensions: bool
    has_bars: bool
    advice: str


def detect(connection: psycopg.Connection) -> Edition:
    """Return the edition as which this database is set up; plain PostgreSQL where it is not set up yet.

    Raises:
        StoreError: its tables are those of an extension that is not there.
    """
    row = connection.execute(query("database/tables_of_bars")).fetchone()
    if row is None or row[0] == "p":
        return PostgresEdition()
    _, licence, schema = row
    if schema is None or licence is None:
        raise StoreError(
            "the tables of bars are hypertables and TimescaleDB is not loaded; "
            "add timescaledb to shared_preload_libraries and restart the server"
        )
    return TimescaleEdition("apache" if licence == "apache" else "timescale", schema)


def describe_server(connection: psycopg.Connection) -> ServerReport:
    """Return what the server behind ``connection`` can do; the database's schema may be absent."""
    edition = detect(connection)
    with connection.cursor(row_factory=dict_row) as cursor:
        facts = cursor.execute(query("database/server")).fetchone() or {}
    facts["has_bars"] = bool(facts.pop("has_schema")) and has_bars(connection)
    return ServerReport(edition=edition, advice=_advice(edition, facts), **facts)


def has_bars(connection: psycopg.Connection) -> bool:
    """Return whether any table of bars has a row."""
    question = sql.SQL("SELECT EXISTS (SELECT FROM {})")
    questions = [question.format(sql.Identifier("market", timeframe.table)) for timeframe in Timeframe]
    return any(has_rows for (has_rows,) in connection.execute(sql.SQL(" UNION ALL ").join(questions)))


def is_new_enough(version: str) -> bool:
    """Return whether we can use this version of TimescaleDB."""
    return tuple(int(part) for part in version.split("-", maxsplit=1)[0].split(".")[:2]) >= OLDEST_TIMESCALEDB


def _advice(edition: Edition, facts: dict[str, Any]) -> str:
    version = facts["timescaledb"] or facts["timescaledb_available"]
    if edition.name != "postgres" or version is None:
        return ""
    if not is_new_enough(version):
        oldest = ".".join(map(str, OLDEST_TIMESCALEDB))
        return f"TimescaleDB {version} is too old to be used; Chandlery needs {oldest} or newer"
    if facts["has_bars"]:
        return "the server has TimescaleDB; to use it, copy the bars to a new database of it with `chandlery move`"
    if facts["timescaledb"] is None and not facts["timescaledb_loaded"]:
        return (
            "to use TimescaleDB, add timescaledb to shared_preload_libraries, restart the server and run "
            "`chandlery init`"
        )
    if facts["timescaledb"] is None and not facts["may_create_extensions"]:
        return (
            "to use TimescaleDB, ask your administrator for CREATE EXTENSION timescaledb in this database and run "
            "`chandlery init`"
        )
    return "to use TimescaleDB, run `chandlery init`"
