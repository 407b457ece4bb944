"""How an installation is doing, in one look. Not here: coverage in detail (``coverage``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg
from psycopg import conninfo, sql
from psycopg.rows import class_row

from chandlery.cache.usage import PlaceUsage, read_usage
from chandlery.core.timeframe import Timeframe
from chandlery.database.editions.base import Edition
from chandlery.database.editions.detect import ServerReport
from chandlery.database.editions.detect import describe_server as describe_capabilities
from chandlery.database.migrate import current_revision
from chandlery.database.named_queries import query
from chandlery.ingest.quarantine import count_waiting
from chandlery.quality.findings import count_open
from chandlery.rollups.stale import count_stale, last_failures
from chandlery.settings import Settings
from chandlery.tiers.warehouse import Warehouse

#: Tables up to this many bytes are counted; a count takes about a second per gigabyte.
_COUNTED_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class BarCount:
    """Number of bars of a timeframe in the store; ``exact`` unless it is the server's estimate."""

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
class LakeStatus:
    """What the manifest says of the lake.

    Attributes:
        root: where it is.
        files: how many, without those that were replaced.
        bytes: their size.
        bars: in them; most are in the store as well.
        cold: windows that left the store.
    """

    root: str
    files: int
    bytes: int
    bars: int
    cold: int


@dataclass(frozen=True, slots=True)
class Status:
    """One look at an installation.

    Attributes:
        home: folder for everything it writes.
        server: where the database is, without a password.
        report: what the server can do, and the edition that the database is set up as.
        revision: of the schema.
        bytes: size of the database.
        instruments: how many are registered.
        rows: bars in the store by timeframe, of those that have any.
        lake: what has been archived.
        publications: the last ones, newest first.
        quarantined: entries that wait in quarantine.
        findings: what the gate noticed and nobody dismissed.
        stale: days that wait for being rolled up, by base timeframe.
        failed: of the base timeframes that have any: stale days that failed, the next try (UTC), the last error.
        aggregates_behind: days for which the continuous aggregates were not refreshed yet.
        landed: answers of providers that were not processed, because a run is at it or died.
        cache: of the places that processes share, what is in them now.
    """

    home: Path
    server: str
    report: ServerReport
    revision: str | None
    bytes: int
    instruments: int
    rows: Mapping[Timeframe, BarCount]
    lake: LakeStatus
    publications: Sequence[Publication]
    quarantined: int
    findings: int
    stale: Mapping[Timeframe, int]
    failed: Sequence[tuple[Timeframe, int, datetime, str]]
    aggregates_behind: int
    landed: int
    cache: Sequence[PlaceUsage]


def read_status(warehouse: Warehouse, settings: Settings, *, publications: int = 5) -> Status:
    """Return how an installation is doing, with its last ``publications``.

    Args:
        warehouse: of the installation.
        settings: of the installation.
        publications: how many to show.
    """
    with warehouse.connection() as connection:
        return Status(
            home=settings.home,
            server=describe_server(warehouse, settings),
            report=describe_capabilities(connection),
            revision=current_revision(connection),
            bytes=_number(connection, sql.SQL("SELECT pg_database_size(current_database())")),
            instruments=_number(connection, sql.SQL("SELECT count(*) FROM market.instrument")),
            rows=_count_rows(connection, warehouse.edition),
            lake=_count_lake(connection, settings.lake),
            publications=_last_publications(connection, publications),
            quarantined=count_waiting(connection),
            findings=count_open(connection),
            stale=count_stale(connection),
            failed=last_failures(connection),
            aggregates_behind=_number(connection, sql.SQL("SELECT count(DISTINCT day) FROM ops.aggregate_pending")),
            landed=_number(connection, sql.SQL("SELECT count(*) FROM ops.landing WHERE processed_at IS NULL")),
            cache=read_usage(settings),
        )


def describe_server(warehouse: Warehouse, settings: Settings) -> str:
    """Return where the database is: ``embedded (folder)`` or a URL without its password."""
    if settings.database_url is None:
        return f"embedded ({settings.home / 'postgres'})"
    parts = conninfo.conninfo_to_dict(warehouse.database.dsn)
    user = f"{parts['user']}@" if parts.get("user") else ""
    port = f":{parts['port']}" if parts.get("port") else ""
    host = str(parts.get("host", "localhost"))
    place = f"/{parts.get('dbname', '')}"
    if host.startswith("/"):
        return f"postgresql://{user}{place}?host={host}"
    return f"postgresql://{user}{host}{port}{place}"


def _count_rows(connection: psycopg.Connection, edition: Edition) -> dict[Timeframe, BarCount]:
    rows: dict[Timeframe, BarCount] = {}
    for timeframe, size in edition.sizes(connection).items():
        if size.bytes <= _COUNTED_BYTES:
            count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("market", timeframe.table))
            rows[timeframe] = BarCount(_number(connection, count), exact=True)
        else:
            rows[timeframe] = BarCount(size.estimate, exact=False)
    return {timeframe: rows[timeframe] for timeframe in Timeframe if timeframe in rows and rows[timeframe].count}


def _count_lake(connection: psycopg.Connection, root: str) -> LakeStatus:
    row = connection.execute(query("ops/lake_status")).fetchone()
    return LakeStatus(root, *(row or (0, 0, 0, 0)))


def _last_publications(connection: psycopg.Connection, number: int) -> list[Publication]:
    with connection.cursor(row_factory=class_row(Publication)) as cursor:
        return cursor.execute(
            "SELECT timeframe, known_at, inserted, revised, origin FROM ops.publication"
            " ORDER BY publication_id DESC LIMIT %(number)s",
            {"number": number},
        ).fetchall()


def _number(connection: psycopg.Connection, statement: sql.SQL | sql.Composed) -> int:
    row = connection.execute(statement).fetchone()
    return int(row[0]) if row else 0
