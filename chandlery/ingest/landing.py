"""The landing zone: every answer of a provider is kept here before it is processed.

An answer is one immutable Parquet file and a row in ``ops.landing``. Where a run died between the two, or before it
processed the answer, the next run takes it from here instead of calling the provider again. Not here: the calls
(``fetch``), and how an answer is processed (``validate``).
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from psycopg.rows import class_row

from chandlery.core.partition import Listing, Partition
from chandlery.core.schema import TS, conform
from chandlery.core.time_ranges import subtract
from chandlery.core.timeframe import Timeframe
from chandlery.database.connections import Database
from chandlery.database.locks import hold_lock
from chandlery.database.named_queries import query
from chandlery.errors import LakeError
from chandlery.ingest.answer import ProviderAnswer
from chandlery.ingest.former_symbols import under_present_symbols, with_present_symbols
from chandlery.ingest.landing_zone import explain_elsewhere, file_name, is_elsewhere, make_zone, read_zone
from chandlery.lake.store import Lake
from chandlery.providers.base import BarReply, BarRequest

_NOTE = b"chandlery.landing"
#: First key of the advisory locks that runs hold; the second is the number of the run.
_LOCK_CLASS = 0x6368_0200


@dataclass(frozen=True, slots=True)
class LandedAnswer:
    """One answer in the landing zone: a row of ``ops.landing``.

    Attributes:
        landing_id: its number.
        provider: name of the provider that answered.
        timeframe: of the bars.
        symbols: those that were served.
        start_ts: begin of the requested range, UTC, inclusive.
        end_ts: its end, UTC, exclusive.
        fetched_at: when the answer came, UTC.
        row_count: number of bars.
        path: of the file, below the landing zone's root.
        checksum: BLAKE2b of the file, 16 bytes.
        writer: number of the run that fetched it.
        processed_at: when its bars were published or quarantined, UTC; None until then.
        deleted_at: when the file was deleted because of its age, UTC; None while it is there.
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
    deleted_at: datetime | None


class Landing:
    """A landing zone. Safe to share between threads.

    Args:
        database: holds ``ops.landing``.
        files: the folder or bucket that holds the files.
    """

    def __init__(self, database: Database, files: Lake) -> None:
        self._database = database
        self._files = files
        self._zone: str | None = None

    @contextmanager
    def writer(self) -> Iterator[int]:
        """Lend a number for one run: what lands under it is not processed by other runs until this one ends or dies."""
        number = secrets.randbits(31)
        with self._database.dedicated() as connection, hold_lock(connection, _LOCK_CLASS, number):
            yield number

    def keep(
        self, writer: int, provider: str, request: BarRequest, reply: BarReply, fetched_at: datetime
    ) -> LandedAnswer:
        """Keep an answer, and return how it was entered.

        Args:
            writer: number of the run.
            provider: name of the provider that answered.
            request: what was requested.
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
        name = file_name(f"{request.start:%Y%m%d}", f"{request.end:%Y%m%d}", self._make_zone())
        path = f"{provider}/{request.timeframe.value}/{fetched_at.astimezone(UTC):%Y-%m-%d}/{name}"
        with self._files.staged(path) as staged:
            staged.write(content)
            staged.commit()
        with self._database.connection() as connection:
            return _enter(connection, path, content, note, reply.bars.num_rows)

    def unprocessed(self, provider: str, timeframe: Timeframe) -> list[LandedAnswer]:
        """Return the answers that runs which died did not process, oldest first.

        Those of a run that still lives are left out, and those that landed in the zone of another installation.
        """
        values = {"provider": provider, "timeframe": timeframe.value, "lock_class": _LOCK_CLASS}
        with self._database.connection() as connection:
            self._enter_stray_files(connection, provider, timeframe)
            with connection.transaction(), connection.cursor(row_factory=class_row(LandedAnswer)) as cursor:
                found = cursor.execute(query("ingest/unprocessed_landings"), values).fetchall()
            found = with_present_symbols(connection, found)
        return [landed for landed in found if not is_elsewhere(landed.path, self._find_zone())]

    def find(self, provider: str | None, timeframe: Timeframe, since: datetime | None = None) -> list[LandedAnswer]:
        """Return the answers that came at ``since`` (UTC) or later and are still kept, newest first; by default all."""
        values = {"provider": provider, "timeframe": timeframe.value, "since": since}
        with self._database.connection() as connection:
            with connection.cursor(row_factory=class_row(LandedAnswer)) as rows:
                found = rows.execute(query("ingest/list_landings"), values).fetchall()
            return with_present_symbols(connection, found)

    def unpack(self, landed: LandedAnswer, instruments: Mapping[str, Listing]) -> ProviderAnswer:
        """Return a landed answer as it came, or the part of it within ``landed``'s range and symbols.

        Args:
            landed: which answer; its range and its symbols may be narrower than those of the row.
            instruments: by symbol; bars of a symbol that is registered no longer belong to no partition.

        Raises:
            LakeError: the file is missing or damaged; names it.
        """
        with self._database.connection() as connection:
            bars = under_present_symbols(connection, self.read(landed), landed.symbols)
        start, end = (pa.scalar(moment, TS) for moment in (landed.start_ts, landed.end_ts))
        served = pc.is_in(bars["symbol"].cast(pa.string()), pa.array(landed.symbols, pa.string()))
        inside = pc.and_(served, pc.and_(pc.greater_equal(bars["ts"], start), pc.less(bars["ts"], end)))
        timeframe = Timeframe(landed.timeframe)
        partitions = [
            Partition.of(instruments[symbol], timeframe, window, landed.start_ts, landed.end_ts)
            for symbol in landed.symbols
            if symbol in instruments
            for window in timeframe.windows(landed.start_ts, landed.end_ts)
        ]
        return ProviderAnswer(partitions, bars.filter(inside), {}, landed.fetched_at, landed.landing_id, landed.path)

    def read(self, landed: LandedAnswer) -> pa.Table:
        """Return the bars of an answer, as they came (schema ``BARS``).

        Raises:
            LakeError: the file is missing, damaged, or in the zone of another installation; names it.
        """
        if is_elsewhere(landed.path, self._find_zone()):
            raise explain_elsewhere(self._files, landed.path)
        with self._files.open(landed.path) as source:
            content = source.read()
        if _checksum(content) != landed.checksum:
            raise LakeError(
                f"{self._files.describe(landed.path)} is damaged: its checksum is not the one that was kept"
            )
        return conform(pq.read_table(pa.BufferReader(content)).replace_schema_metadata())

    def sweep(self, before: datetime) -> int:
        """Delete the files of answers that came before ``before`` (UTC) and were processed; return how many.

        Those in the zones of other installations are theirs to delete. What was requested stays on record.

        Raises:
            LakeError: one of them cannot be deleted.
        """
        with self._database.connection() as connection:
            old = connection.execute(
                "SELECT landing_id, path FROM ops.landing"
                " WHERE processed_at IS NOT NULL AND deleted_at IS NULL AND fetched_at < %(before)s",
                {"before": before},
            ).fetchall()
            old = [(landing_id, path) for landing_id, path in old if not is_elsewhere(path, self._find_zone())]
            for landing_id, path in old:
                self._files.delete(path)
                connection.execute(
                    "UPDATE ops.landing SET deleted_at = clock_timestamp() WHERE landing_id = %(id)s",
                    {"id": landing_id},
                )
        self._files.sweep(before)
        return len(old)

    def _find_zone(self) -> str | None:
        self._zone = self._zone or read_zone(self._files)
        return self._zone

    def _make_zone(self) -> str:
        if self._find_zone() is None:
            with self._database.connection() as connection:
                self._zone = make_zone(connection, self._files)
        return self._zone or ""

    def _enter_stray_files(self, connection: psycopg.Connection, provider: str, timeframe: Timeframe) -> None:
        """Enter files that a run wrote and died before it entered them."""
        rows = connection.execute(
            "SELECT path FROM ops.landing"
            " WHERE provider = %(provider)s AND timeframe = %(timeframe)s AND deleted_at IS NULL",
            {"provider": provider, "timeframe": timeframe.value},
        )
        entered = {path for (path,) in rows}
        for file in self._files.list(f"{provider}/{timeframe.value}"):
            if file.path in entered:
                continue
            with self._files.open(file.path) as source:
                content = source.read()
            table = pq.read_table(pa.BufferReader(content))
            note = json.loads((table.schema.metadata or {}).get(_NOTE, b"null"))
            if note is None:
                raise LakeError(f"{self._files.describe(file.path)} is not an answer of a provider; move it away")
            _enter(connection, file.path, content, note, table.num_rows)


def mark_processed(connection: psycopg.Connection, landing_ids: Sequence[int]) -> None:
    """Note that the bars of these answers were published or quarantined."""
    connection.execute(
        "UPDATE ops.landing SET processed_at = clock_timestamp() WHERE landing_id = ANY(%(ids)s)",
        {"ids": list(landing_ids)},
    )


def newest_parts(
    landed: Iterable[LandedAnswer], within: Mapping[str, tuple[datetime, datetime]] | None = None
) -> Iterator[LandedAnswer]:
    """Yield the parts of answers that no later answer covers.

    Args:
        landed: of one provider and timeframe, newest first, as ``Landing.find`` returns them.
        within: half-open range, UTC, by symbol: the parts within these; by default all.

    Yields:
        Answers with a narrower range or fewer symbols, in the order of ``landed``.
    """
    covered: dict[str, list[tuple[datetime, datetime]]] = {}
    for answer in landed:
        symbols_by_range: dict[tuple[datetime, datetime], list[str]] = {}
        for symbol in answer.symbols:
            if within is not None and symbol not in within:
                continue
            first, last = within[symbol] if within is not None else (answer.start_ts, answer.end_ts)
            requested = max(answer.start_ts, first), min(answer.end_ts, last)
            for piece in subtract([requested], covered.get(symbol, [])):
                symbols_by_range.setdefault(piece, []).append(symbol)
            covered.setdefault(symbol, []).append((answer.start_ts, answer.end_ts))
        for (start, end), symbols in symbols_by_range.items():
            yield replace(answer, start_ts=start, end_ts=end, symbols=symbols)


def _enter(
    connection: psycopg.Connection, path: str, content: bytes, note: Mapping[str, object], rows: int
) -> LandedAnswer:
    values = {**note, "path": path, "checksum": _checksum(content), "row_count": rows}
    with connection.cursor(row_factory=class_row(LandedAnswer)) as cursor:
        entered = cursor.execute(query("ingest/enter_landing"), values).fetchone()
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
