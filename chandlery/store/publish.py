"""Publishing: the one way a bar gets into the store.

One transaction takes an Arrow table and leaves bars, revisions, coverage and pending roll-ups agreeing with each other.
What is identical is not written. A kill at any instant leaves the state before or the state after.

Not here: whether the bars are acceptable (the gate judges first) and how they are read back (``read``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg
import pyarrow as pa

from chandlery.errors import StoreError, UnknownSymbolError
from chandlery.schema import conform
from chandlery.store.editions.base import Edition
from chandlery.store.locks import lock_instruments
from chandlery.store.merge import Changes, write
from chandlery.store.pending import note_stale
from chandlery.store.rows import Batch, Rows
from chandlery.store.sessions import record_sessions
from chandlery.timeframe import Timeframe


@dataclass(frozen=True, slots=True)
class PublishReport:
    """What a publication did.

    Attributes:
        inserted: bars that were not there.
        revised: bars whose values changed; the earlier ones are in the revisions.
        unchanged: bars that were there with the same values; nothing about them was written.
        known_at: the time from which a read with ``as_of`` sees this publication, UTC.
        changes: which bars were inserted or revised.
        ids: instrument id by symbol, of every symbol in the batch.
    """

    inserted: int
    revised: int
    unchanged: int
    known_at: datetime
    changes: Changes = field(repr=False)
    ids: dict[str, int] = field(repr=False)


def publish(
    connection: psycopg.Connection,
    edition: Edition,
    timeframe: Timeframe,
    bars: pa.Table,
    *,
    origin: str = "ingest",
    now: datetime | None = None,
) -> PublishReport:
    """Make ``bars`` the present truth of ``timeframe``, in one transaction.

    Two publications of one instrument and timeframe wait for each other; others do not.

    Args:
        connection: in autocommit mode, or in the caller's transaction, of which this becomes a part.
        edition: of the server.
        timeframe: of all the bars.
        bars: table of schema ``schema.BARS`` in any order; every symbol is a registered instrument, every
            ``(symbol, ts)`` occurs once, prices are finite.
        origin: what publishes, for ``ops.publication``.
        now: the present, UTC; the server's clock by default. A publication is known later than any of its timeframe
            that was committed before, even where the clock went back.

    Raises:
        UsageError: a duplicate key, or a price that is null or not finite. Nothing was written.
        UnknownSymbolError: a symbol is not a registered instrument. Nothing was written.
    """
    batch = Batch(conform(bars))
    with connection.transaction():
        ids = _instrument_ids(connection, batch.symbols)
        if not len(batch):
            return PublishReport(0, 0, 0, now or datetime.now(UTC), Changes.none(), ids)
        rows = batch.rows(ids, _source_ids(connection, batch.sources))
        edition.prepare(connection, timeframe, rows.first, rows.last)
        lock_instruments(connection, timeframe, list(ids.values()))
        # After the lock, so that whoever waited for it is later than whoever held it.
        known_at = _learn(connection, timeframe, now)
        changes = write(connection, timeframe, rows, known_at)
        report = _report(changes, len(batch), known_at, ids)
        if len(changes):
            record_sessions(
                connection, timeframe, changes.instrument_id[~changes.revised], changes.ts[~changes.revised]
            )
            note_stale(connection, timeframe, changes.instrument_id, changes.ts, known_at)
            _log(connection, timeframe, rows, report, origin)
    return report


def _report(changes: Changes, offered: int, known_at: datetime, ids: dict[str, int]) -> PublishReport:
    revised = int(changes.revised.sum())
    return PublishReport(
        inserted=len(changes) - revised,
        revised=revised,
        unchanged=offered - len(changes),
        known_at=known_at,
        changes=changes,
        ids=ids,
    )


def _log(connection: psycopg.Connection, timeframe: Timeframe, rows: Rows, report: PublishReport, origin: str) -> None:
    connection.execute(
        "INSERT INTO ops.publication"
        " (timeframe, known_at, inserted, revised, unchanged, first_ts, last_ts, instruments, origin)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            timeframe.value,
            report.known_at,
            report.inserted,
            report.revised,
            report.unchanged,
            rows.first,
            rows.last,
            len(report.ids),
            origin,
        ),
    )


def _instrument_ids(connection: psycopg.Connection, symbols: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = dict(
        connection.execute(
            "SELECT symbol, instrument_id FROM market.instrument WHERE symbol = ANY(%s)", (list(symbols),)
        ).fetchall()
    )
    unknown = sorted(set(symbols) - found.keys())
    if unknown:
        raise UnknownSymbolError(f"{', '.join(unknown)}: not registered; add to config/universe.yaml or register first")
    return found


def _source_ids(connection: psycopg.Connection, names: Sequence[str]) -> list[int]:
    found: dict[str, int] = dict(connection.execute("SELECT name, source_id FROM market.source").fetchall())
    missing = [name for name in names if name not in found]
    if missing:
        connection.execute(
            "INSERT INTO market.source (name) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING", (sorted(missing),)
        )
        found = dict(connection.execute("SELECT name, source_id FROM market.source").fetchall())
    return [found[name] for name in names]


def _learn(connection: psycopg.Connection, timeframe: Timeframe, now: datetime | None) -> datetime:
    """Return the time to record: the present, but later than any recorded before, even where a clock went back."""
    row = connection.execute(
        "SELECT greatest(coalesce(%s, clock_timestamp()), max(known_at) + interval '1 microsecond')"
        " FROM ops.publication WHERE timeframe = %s",
        (now, timeframe.value),
    ).fetchone()
    if row is None:
        raise StoreError("the server did not tell the time")
    moment: datetime = row[0]
    return moment
