"""Plain PostgreSQL: declarative range partitions by ``ts``, made ahead of need and on demand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
from psycopg import sql

from chandlery.timeframe import Timeframe


class PostgresEdition:
    """Tables partitioned by month (``1m``), year (other intraday bars) or decade (a day and wider)."""

    name = "postgres"
    meaning = "plain PostgreSQL: partitioned tables; the lake is the compressed tier"

    def prepare(self, connection: psycopg.Connection, timeframe: Timeframe, first: datetime, last: datetime) -> None:
        """See ``Edition.prepare``."""
        wanted = {f"{timeframe.table}_{suffix}": (lo, hi) for suffix, lo, hi in partition_spans(timeframe, first, last)}
        missing = connection.execute(
            "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(format('market.%%I', name)) IS NULL",
            (list(wanted),),
        ).fetchall()
        if not missing:
            return
        parent = sql.Identifier("market", timeframe.table)
        with connection.transaction():
            # Lets readers and writers of the table go on, and makes another process that wants the same wait.
            connection.execute(sql.SQL("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE").format(parent))
            for (name,) in missing:
                _attach(connection, parent, name, *wanted[name])


def partition_spans(timeframe: Timeframe, first: datetime, last: datetime) -> Iterator[tuple[str, datetime, datetime]]:
    """Yield ``(suffix, start, end)`` of each table partition that touches ``[first, last]``; ``end`` is exclusive."""
    start = _floor(timeframe, first)
    while start <= last:
        if timeframe is Timeframe.M1:
            end = datetime(start.year + start.month // 12, start.month % 12 + 1, 1, tzinfo=UTC)
            yield f"{start:%Y_%m}", start, end
        else:
            end = datetime(start.year + (1 if timeframe.is_intraday else 10), 1, 1, tzinfo=UTC)
            yield f"{start:%Y}" + ("" if timeframe.is_intraday else "s"), start, end
        start = end


def _floor(timeframe: Timeframe, moment: datetime) -> datetime:
    if timeframe is Timeframe.M1:
        return datetime(moment.year, moment.month, 1, tzinfo=UTC)
    return datetime(moment.year if timeframe.is_intraday else moment.year // 10 * 10, 1, 1, tzinfo=UTC)


def _attach(connection: psycopg.Connection, parent: sql.Identifier, name: str, start: datetime, end: datetime) -> None:
    # Built aside and attached, because CREATE TABLE ... PARTITION OF would lock readers out of the parent.
    child = sql.Identifier("market", name)
    if connection.execute("SELECT to_regclass(%s)", (child.as_string(connection),)).fetchone() != (None,):
        return
    connection.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(child, parent))
    connection.execute(
        sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
            parent, child, sql.Literal(start), sql.Literal(end)
        )
    )
