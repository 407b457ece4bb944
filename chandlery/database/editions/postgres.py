"""Plain PostgreSQL: declarative range partitions by ``ts``, made ahead of need and on demand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import psycopg
from psycopg import sql

from chandlery.core.timeframe import Timeframe
from chandlery.database.editions.base import Chunk, Compression, Size
from chandlery.database.named_queries import query


class PostgresEdition:
    """Tables partitioned by month (``1m``), year (other intraday bars) or decade (a day and wider)."""

    name = "postgres"
    meaning = "plain PostgreSQL: partitioned tables; the lake is the compressed tier"
    compresses = False
    keeps_aggregates = False

    def prepare(self, connection: psycopg.Connection, timeframe: Timeframe, first: datetime, last: datetime) -> None:
        """See ``Edition.prepare``."""
        bounds = {
            f"{timeframe.table}_{suffix}": (start, end)
            for suffix, start, end in partition_spans(timeframe, first, last)
        }
        missing = connection.execute(
            "SELECT name FROM unnest(%(names)s::text[]) AS name WHERE to_regclass(format('market.%%I', name)) IS NULL",
            {"names": list(bounds)},
        ).fetchall()
        if not missing:
            return
        parent = sql.Identifier("market", timeframe.table)
        with connection.transaction():
            # Lets readers and writers of the table go on, and makes another process that wants the same wait.
            connection.execute(sql.SQL("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE").format(parent))
            for (name,) in missing:
                _attach(connection, parent, name, *bounds[name])

    def chunks(self, connection: psycopg.Connection, timeframe: Timeframe) -> Sequence[Chunk]:
        """See ``Edition.chunks``."""
        rows = connection.execute(query("database/partitions"), {"table_name": f"market.{timeframe.table}"})
        return [Chunk(name, start, end, size, compressed=False) for name, start, end, size in rows]

    def compress(self, connection: psycopg.Connection, timeframe: Timeframe, before: datetime) -> Iterator[Compression]:
        """Do nothing: plain PostgreSQL does not compress rows."""
        del connection, timeframe, before
        yield from ()

    def drop(self, connection: psycopg.Connection, timeframe: Timeframe, chunk: Chunk) -> None:
        """See ``Edition.drop``. Readers and writers of the table wait from here to the end of the transaction."""
        with connection.transaction():
            parent = sql.Identifier("market", timeframe.table)
            # Dropping needs this lock on the parent too; taken first, nobody comes between the question and the drop.
            connection.execute(sql.SQL("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE").format(parent))
            if chunk.name in {present.name for present in self.chunks(connection, timeframe)}:
                connection.execute(sql.SQL("DROP TABLE {}").format(_quoted(chunk.name)))

    def sizes(self, connection: psycopg.Connection) -> Mapping[Timeframe, Size]:
        """See ``Edition.sizes``."""
        by_table = {timeframe.table: timeframe for timeframe in Timeframe}
        rows = connection.execute(query("database/table_sizes"), {"tables": list(by_table)})
        return {by_table[name]: Size(size, estimate) for name, size, estimate in rows}


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


def _quoted(name: str) -> sql.SQL:
    """Return ``name`` as it is: it came from the server, quoted and with its schema."""
    return sql.SQL(name)


def _floor(timeframe: Timeframe, moment: datetime) -> datetime:
    if timeframe is Timeframe.M1:
        return datetime(moment.year, moment.month, 1, tzinfo=UTC)
    return datetime(moment.year if timeframe.is_intraday else moment.year // 10 * 10, 1, 1, tzinfo=UTC)


def _attach(connection: psycopg.Connection, parent: sql.Identifier, name: str, start: datetime, end: datetime) -> None:
    # Built aside and attached, because CREATE TABLE ... PARTITION OF would lock readers out of the parent.
    child = sql.Identifier("market", name)
    question = connection.execute("SELECT to_regclass(%(name)s)", {"name": child.as_string(connection)})
    if question.fetchone() != (None,):
        return
    connection.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(child, parent))
    connection.execute(
        sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
            parent, child, sql.Literal(start), sql.Literal(end)
        )
    )
