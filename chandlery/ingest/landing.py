"""The landing zone: what a provider answered is kept here, before it is judged.

An answer is one immutable Parquet file and a row in ``ops.landing``. Where a run died between the two, or before it
judged the answer, the next run takes it from here instead of asking again. Not here: asking (``fetching``) and judging
(``ingest``).
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg.rows import class_row

from chandlery.core.schema import conform
from chandlery.core.timeframe import Timeframe
from chandlery.database.connections import Database
from chandlery.errors import LakeError
from chandlery.lake.store import Lake
from chandlery.providers.base import BarReply, BarRequest

_NOTE = b"chandlery.landing"
_LOCKS = 0x6368_0200


@dataclass(frozen=True, slots=True)
class Landed:
    """One answer in the landing zone.

    Attributes:
        landing_id: its number.
        provider: who answered.
        timeframe: of the bars.
        symbols: those that were served.
        start_ts: begin of what was asked for, UTC, inclusive.
        end_ts: its end, UTC, exclusive.
        fetched_at: when the answer came, UTC.
        row_count: bars.
        path: of the file, below the landing zone's root.
        checksum: BLAKE2b of the file, 16 bytes.
        writer: number of the run that fetched it.
        processed_at: when it was judged; None while it waits for that.
    """

    landing_id: int
    provider: str
    timeframe: str
    symbols: Sequence[str]
    start_ts: datetime
    end_ts: datetime
    fetched_at: datetime
    row_count: int
    path: str
    checksum: bytes
    writer: int
    processed_at: datetime | None


class Landing:
    """A landing zone. Safe to share between threads.

    Args:
        database: that knows what has landed.
        files: a folder or a bucket.
    """

    def __init__(self, database: Database, files: Lake) -> None:
        self._database = database
        self._files = files

    @contextmanager
    def writer(self) -> Iterator[int]:
        """Lend a number for one run: what lands under it is left alone by others until the run ends or dies."""
        number = secrets.randbits(31)
        with self._database.dedicated() as connection:
            connection.execute("SELECT pg_advisory_lock(%s::int4, %s::int4)", (_LOCKS, number))
            try:
                yield number
            finally:
                if not connection.closed:
                    connection.execute("SELECT pg_advisory_unlock(%s::int4, %s::int4)", (_LOCKS, number))

    def keep(self, writer: int, provider: str, request: BarRequest, reply: BarReply, fetched_at: datetime) -> Landed:
        """Keep what was answered.

        Args:
            writer: number of the run.
            provider: who answered.
            request: what was asked.
            reply: the answer; symbols that failed are left out.
            fetched_at: when it came, UTC.

        Raises:
            LakeError: the landing zone cannot be written to.
        """
        note = {
            "provider": provider,
            "timeframe": request.timeframe.value,
            "symbols": [symbol for symbol in request.symbols if symbol not in reply.failures],
            "start_ts": request.start.isoformat(),
            "end_ts": request.end.isoformat(),
            "fetched_at": fetched_at.isoformat(),
            "writer": writer,
        }
        content = _pack(reply.bars, note)
        name = f"{request.start:%Y%m%d}_{request.end:%Y%m%d}_{secrets.token_hex(6)}.parquet"
        path = f"{provider}/{request.timeframe.value}/{fetched_at.astimezone(UTC):%Y-%m-%d}/{name}"
        with self._files.staged(path) as staged:
            staged.write(content)
            staged.commit()
        with self._database.connection() as connection:
            return _enter(connection, path, content, note, reply.bars.num_rows)

    def waiting(self, provider: str, timeframe: Timeframe) -> list[Landed]:
        """Return what runs that died left behind unjudged, oldest first."""
        with self._database.connection() as connection:
            self._adopt(connection, provider, timeframe)
            with connection.transaction(), connection.cursor(row_factory=class_row(Landed)) as cursor:
                return cursor.execute(
                    "SELECT * FROM ops.landing WHERE provider = %s AND timeframe = %s AND processed_at IS NULL"
                    " AND pg_try_advisory_xact_lock(%s::int4, writer) ORDER BY fetched_at, landing_id",
                    (provider, timeframe.value, _LOCKS),
                ).fetchall()

    def find(self, provider: str | None, timeframe: Timeframe, since: datetime | None = None) -> list[Landed]:
        """Return what landed since ``since`` (UTC), newest first."""
        with self._database.connection() as connection, connection.cursor(row_factory=class_row(Landed)) as cursor:
            return cursor.execute(
                "SELECT * FROM ops.landing"
                " WHERE (%(provider)s::text IS NULL OR provider = %(provider)s) AND timeframe = %(timeframe)s"
                " AND (%(since)s::timestamptz IS NULL OR fetched_at >= %(since)s)"
                " ORDER BY fetched_at DESC, landing_id DESC",
                {"provider": provider, "timeframe": timeframe.value, "since": since},
            ).fetchall()

    def read(self, landed: Landed) -> pa.Table:
        """Return the bars of an answer, as they came (schema ``BARS``).

        Raises:
            LakeError: the file is missing or damaged; names it.
        """
        with self._files.open(landed.path) as source:
            content = source.read()
        if _checksum(content) != landed.checksum:
            raise LakeError(
                f"{self._files.describe(landed.path)} is damaged: its checksum is not the one that was kept"
            )
        return conform(pq.read_table(pa.BufferReader(content)))

    def sweep(self, before: datetime) -> int:
        """Delete what landed before ``before`` (UTC) and was judged; return how many files.

        Raises:
            LakeError: one of them cannot be deleted.
        """
        with self._database.connection() as connection:
            old = connection.execute(
                "SELECT landing_id, path FROM ops.landing WHERE processed_at IS NOT NULL AND fetched_at < %s", (before,)
            ).fetchall()
            for landing_id, path in old:
                self._files.delete(path)
                connection.execute("DELETE FROM ops.landing WHERE landing_id = %s", (landing_id,))
        self._files.sweep(before)
        return len(old)

    def _adopt(self, connection: psycopg.Connection, provider: str, timeframe: Timeframe) -> None:
        """Enter files that a run wrote and died before it entered them."""
        known = {
            row[0]
            for row in connection.execute(
                "SELECT path FROM ops.landing WHERE provider = %s AND timeframe = %s", (provider, timeframe.value)
            )
        }
        for found in self._files.list(f"{provider}/{timeframe.value}"):
            if found.path in known:
                continue
            with self._files.open(found.path) as source:
                content = source.read()
            table = pq.read_table(pa.BufferReader(content))
            note = json.loads((table.schema.metadata or {}).get(_NOTE, b"null"))
            if note is None:
                raise LakeError(f"{self._files.describe(found.path)} is not an answer of a provider; move it away")
            _enter(connection, found.path, content, note, table.num_rows)


def settle(connection: psycopg.Connection, landed: Sequence[Landed]) -> None:
    """Note that these answers were judged, and published or quarantined."""
    connection.execute(
        "UPDATE ops.landing SET processed_at = clock_timestamp() WHERE landing_id = ANY(%s)",
        ([one.landing_id for one in landed],),
    )


def _enter(connection: psycopg.Connection, path: str, content: bytes, note: Mapping[str, object], rows: int) -> Landed:
    values = {**note, "path": path, "checksum": _checksum(content), "row_count": rows}
    with connection.cursor(row_factory=class_row(Landed)) as cursor:
        entered = cursor.execute(
            "INSERT INTO ops.landing"
            " (provider, timeframe, symbols, start_ts, end_ts, fetched_at, row_count, path, checksum, writer)"
            " VALUES (%(provider)s, %(timeframe)s, %(symbols)s, %(start_ts)s, %(end_ts)s, %(fetched_at)s,"
            " %(row_count)s, %(path)s, %(checksum)s, %(writer)s)"
            " ON CONFLICT (path) DO UPDATE SET path = excluded.path RETURNING *",
            values,
        ).fetchone()
    if entered is None:
        raise LakeError(f"{path} landed, but could not be entered")
    return entered


def _pack(bars: pa.Table, note: Mapping[str, object]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(bars.replace_schema_metadata({_NOTE: json.dumps(dict(note))}), sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
