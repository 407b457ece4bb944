"""How an installation is doing, in one look. Not here: coverage in detail (``coverage``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg
from psycopg import conninfo, sql
from psycopg.rows import class_row

from chandlery.derive import count_stale
from chandlery.installation import Installation
from chandlery.store.editions.base import Edition
from chandlery.store.migrate import current_revision
from chandlery.timeframe import Timeframe

#: Tables up to this many bytes are counted; a count takes about a second per gigabyte.
_COUNTED_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Rows:
    """Number of bars of a timeframe; ``exact`` unless it is the planner's estimate."""

    count: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Publication:
    """A publishing transaction that changed something; see ``ops.publication``."""

    timeframe: str
    known_at: datetime
    inserted: int
    revised: int
    origin: str


@dataclass(frozen=True, slots=True)
class Status:
    """One look at an installation.

    Attributes:
        home: folder for everything it writes.
        server: where the database is, without a password.
        version: of PostgreSQL.
        edition: name of the server's edition.
        meaning: what that edition can and cannot do.
        revision: of the schema.
        bytes: size of the database.
        instruments: how many are registered.
        rows: bars by timeframe, of those that have any.
        publications: the last ones, newest first.
        quarantined: entries that wait in quarantine.
        stale: days that wait for being rolled up, by base timeframe.
    """

    home: Path
    server: str
    version: str
    edition: str
    meaning: str
    revision: str | None
    bytes: int
    instruments: int
    rows: Mapping[Timeframe, Rows]
    publications: Sequence[Publication]
    quarantined: int
    stale: Mapping[Timeframe, int]


def read_status(installation: Installation, *, publications: int = 5) -> Status:
    """Return how ``installation`` is doing, with the last ``publications``."""
    database = installation.database
    with database.connection() as connection:
        return Status(
            home=installation.settings.home,
            server=describe_server(installation),
            version=connection.info.parameter_status("server_version") or "unknown",
            edition=database.edition.name,
            meaning=database.edition.meaning,
            revision=current_revision(connection),
            bytes=_number(connection, sql.SQL("SELECT pg_database_size(current_database())")),
            instruments=_number(connection, sql.SQL("SELECT count(*) FROM market.instrument")),
            rows=_count_rows(connection, database.edition),
            publications=_last_publications(connection, publications),
            quarantined=_number(connection, sql.SQL("SELECT count(*) FROM ops.quarantine WHERE released_at IS NULL")),
            stale=count_stale(connection),
        )


def describe_server(installation: Installation) -> str:
    """Return where the database is: ``embedded (folder)`` or a URL without its password."""
    if installation.settings.database_url is None:
        return f"embedded ({installation.settings.home / 'postgres'})"
    parts = conninfo.conninfo_to_dict(installation.database.dsn)
    user = f"{parts['user']}@" if parts.get("user") else ""
    port = f":{parts['port']}" if parts.get("port") else ""
    host = str(parts.get("host", "localhost"))
    place = f"/{parts.get('dbname', '')}"
    if host.startswith("/"):
        return f"postgresql://{user}{place}?host={host}"
    return f"postgresql://{user}{host}{port}{place}"


def _count_rows(connection: psycopg.Connection, edition: Edition) -> dict[Timeframe, Rows]:
    rows: dict[Timeframe, Rows] = {}
    for timeframe, size in edition.sizes(connection).items():
        if size.bytes <= _COUNTED_BYTES:
            count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("market", timeframe.table))
            rows[timeframe] = Rows(_number(connection, count), exact=True)
        else:
            rows[timeframe] = Rows(size.estimate, exact=False)
    return {timeframe: rows[timeframe] for timeframe in Timeframe if timeframe in rows and rows[timeframe].count}


def _last_publications(connection: psycopg.Connection, number: int) -> list[Publication]:
    with connection.cursor(row_factory=class_row(Publication)) as cursor:
        return cursor.execute(
            "SELECT timeframe, known_at, inserted, revised, origin FROM ops.publication"
            " ORDER BY publication_id DESC LIMIT %s",
            (number,),
        ).fetchall()


def _number(connection: psycopg.Connection, statement: sql.SQL | sql.Composed) -> int:
    row = connection.execute(statement).fetchone()
    return int(row[0]) if row else 0
