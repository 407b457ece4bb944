"""TimescaleDB, under either of its licences: hypertables, of which the Timescale licence compresses old chunks.

Not here: how tables become hypertables (``install``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal, TypeAlias

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from chandlery.core.timeframe import Timeframe
from chandlery.database.editions.base import Chunk, Compression, Size
from chandlery.database.named_queries import query

Licence: TypeAlias = Literal["timescale", "apache"]
#: Rows that are compressed, and unpacked to be corrected, as one. A quarter of the server's own choice takes 7 % more
#: space and makes corrections that are scattered over many instruments three times as fast.
_BATCH_ROWS = 250
#: Does nothing on a server that has no such setting.
_LIMIT_BATCHES = (
    "SELECT set_config(name, %(rows)s, true) FROM pg_settings WHERE name = 'timescaledb.compression_batch_size_limit'"
)
_MEANING = {
    "timescale": "TimescaleDB with its own licence: hypertables; old chunks are compressed in place",
    "apache": "TimescaleDB with the Apache licence: hypertables that do not compress; the lake is the compressed tier",
}


class TimescaleEdition:
    """Hypertables with chunks of 30 days (``1m``), 365 (other intraday bars) or 3650 (a day and wider).

    Args:
        licence: of the server: the value of its setting ``timescaledb.license``.
        schema: where the extension's functions are.
    """

    def __init__(self, licence: Licence, schema: str = "public") -> None:
        self.name = "community" if licence == "timescale" else "apache"
        self.meaning = _MEANING[licence]
        self.compresses = self.keeps_aggregates = licence == "timescale"
        self._schema = schema

    def prepare(self, connection: psycopg.Connection, timeframe: Timeframe, first: datetime, last: datetime) -> None:
        """See ``Edition.prepare``: makes chunks ahead, so that two loads do not wait for each other's.

        Makes none in a transaction: the server does when the first row arrives, and as well as we could. (Whoever makes
        a chunk keeps others from making any until the transaction ends.)
        """
        if connection.info.transaction_status != TransactionStatus.IDLE:
            if self.compresses:
                # Otherwise a correction of more than a hundred compressed batches would be refused.
                connection.execute("SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0")
            return
        spans = [(chunk.start, chunk.end) for chunk in self.chunks(connection, timeframe)]
        moment = first
        while moment <= last:
            end = next((end for start, end in spans if start <= moment < end), None)
            if end is None:
                _make_chunk(connection, timeframe, moment)
                spans = [(chunk.start, chunk.end) for chunk in self.chunks(connection, timeframe)]
            else:
                moment = end

    def chunks(self, connection: psycopg.Connection, timeframe: Timeframe) -> Sequence[Chunk]:
        """See ``Edition.chunks``."""
        chunks = query("database/chunks", chunks_detailed_size=self._function("chunks_detailed_size"))
        return [Chunk(*row) for row in connection.execute(chunks, {"table": timeframe.table})]

    def compress(self, connection: psycopg.Connection, timeframe: Timeframe, before: datetime) -> Iterator[Compression]:
        """See ``Edition.compress``. Whoever writes to a chunk waits while it is compressed."""
        if not self.compresses:
            return
        for chunk in self.chunks(connection, timeframe):
            if chunk.end > before or chunk.compressed:
                continue
            try:
                self._compress_chunk(connection, chunk.name)
            except psycopg.errors.UndefinedTable:
                continue  # dropped in the meantime
            sizes = {present.name: present.bytes for present in self.chunks(connection, timeframe)}
            if chunk.name in sizes:
                yield Compression(chunk, sizes[chunk.name])

    def _compress_chunk(self, connection: psycopg.Connection, name: str) -> None:
        with connection.transaction():
            connection.execute(_LIMIT_BATCHES, {"rows": str(_BATCH_ROWS)})
            compress = sql.SQL("SELECT {}(%(chunk)s::regclass)").format(self._function("compress_chunk"))
            connection.execute(compress, {"chunk": name})
        # Gives back what unpacked rows took, and the planner the statistics that went with them.
        connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.SQL(name)))

    def drop(self, connection: psycopg.Connection, timeframe: Timeframe, chunk: Chunk) -> None:
        """See ``Edition.drop``."""
        if chunk.name not in {present.name for present in self.chunks(connection, timeframe)}:
            return
        statement = "SELECT {}(%(bars)s::regclass, older_than => %(end)s, newer_than => %(start)s)"
        connection.execute(
            sql.SQL(statement).format(self._function("drop_chunks")),
            {"bars": f"market.{timeframe.table}", "end": chunk.end, "start": chunk.start},
        )

    def sizes(self, connection: psycopg.Connection) -> Mapping[Timeframe, Size]:
        """See ``Edition.sizes``."""
        by_table = {timeframe.table: timeframe for timeframe in Timeframe}
        statement = query(
            "database/hypertable_sizes",
            chunks_detailed_size=self._function("chunks_detailed_size"),
            approximate_row_count=self._function("approximate_row_count"),
        )
        rows = connection.execute(statement, {"tables": list(by_table)})
        return {by_table[name]: Size(size, estimate) for name, size, estimate in rows}

    def _function(self, name: str) -> sql.Identifier:
        return sql.Identifier(self._schema, name)


def _make_chunk(connection: psycopg.Connection, timeframe: Timeframe, moment: datetime) -> None:
    """Make the chunk for ``moment``: only a row makes one under both licences, and nobody ever sees this row."""
    table = sql.Identifier("market", timeframe.table)
    with connection.transaction():
        insert = (
            "INSERT INTO {} (instrument_id, ts, open, high, low, close, source, known_at)"
            " VALUES (0, %(moment)s, 0, 0, 0, 0, 0, %(moment)s) ON CONFLICT DO NOTHING"
        )
        connection.execute(sql.SQL(insert).format(table), {"moment": moment})
        connection.execute(
            sql.SQL("DELETE FROM {} WHERE instrument_id = 0 AND ts = %(moment)s").format(table), {"moment": moment}
        )
