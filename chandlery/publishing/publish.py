"""Publishing: how bars from providers, and those derived from them, become the present truth of the store.

One transaction takes Arrow tables and leaves bars, revisions, coverage and pending roll-ups agreeing with each other.
What is identical is not written. A kill at any instant leaves the state before or the state after.

Not here: whether the bars are acceptable (the gate audits them first), how they are merged into their table
(``bars.merge``), and how archived bars come back from the lake (``tiers.restore``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import attrgetter
from types import MappingProxyType

import psycopg
import pyarrow as pa
from psycopg.pq import TransactionStatus

from chandlery.bars.bookkeeping import Publication, record
from chandlery.bars.end import end_bars
from chandlery.bars.merge import DEFAULT_LIMITS, Changes, MergeLimits, write
from chandlery.bars.origin import INGEST, Origin
from chandlery.bars.recount import recount_sessions
from chandlery.bars.rows import Batch
from chandlery.bars.sources import derived_sources, source_ids
from chandlery.core.schema import conform
from chandlery.core.timeframe import Timeframe
from chandlery.database.connect import is_pooled
from chandlery.database.locks import lock_symbols
from chandlery.database.named_queries import query
from chandlery.errors import UnknownSymbolError
from chandlery.publishing.retract import Retraction, retract
from chandlery.tiers.restore_on_write import restore_on_write
from chandlery.tiers.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class PublishReport:
    """What a publication did.

    Attributes:
        inserted: bars that were not there.
        revised: bars whose values changed or that ended; the earlier ones are in the revisions.
        unchanged: bars that were there with the same values; nothing about them was written.
        known_at: the time from which a read with ``as_of`` sees this publication, UTC.
        changes: which bars were inserted or revised.
        ids: instrument id by symbol, of every symbol in the batch.
        publication_id: its number in the log; None where nothing changed.
    """

    inserted: int
    revised: int
    unchanged: int
    known_at: datetime
    changes: Changes = field(repr=False)
    ids: dict[str, int] = field(repr=False)
    publication_id: int | None = None


def publish(
    connection: psycopg.Connection,
    warehouse: Warehouse,
    timeframe: Timeframe,
    bars: pa.Table,
    *,
    origin: Origin = INGEST,
    now: datetime | None = None,
    limits: MergeLimits = DEFAULT_LIMITS,
) -> PublishReport:
    """Make ``bars`` the present truth of ``timeframe``, in one transaction; see ``publish_together``."""
    (report,) = publish_together(
        connection, warehouse, {timeframe: bars}, origin=origin, now=now, limits=limits
    ).values()
    return report


def publish_together(
    connection: psycopg.Connection,
    warehouse: Warehouse,
    bars: Mapping[Timeframe, pa.Table],
    *,
    ended: Mapping[Timeframe, Sequence[tuple[str, datetime]]] = MappingProxyType({}),
    retracted: Mapping[Timeframe, Retraction] = MappingProxyType({}),
    origin: Origin = INGEST,
    now: datetime | None = None,
    limits: MergeLimits = DEFAULT_LIMITS,
) -> dict[Timeframe, PublishReport]:
    """Make ``bars`` the present truth of their timeframes, in one transaction.

    Two publications of one instrument and timeframe wait for each other. A window that changes leaves the lake first.

    Args:
        connection: in autocommit mode, or in the caller's transaction, of which this becomes a part.
        warehouse: to which ``connection`` belongs.
        bars: by timeframe, tables of schema ``BARS`` in any order, of registered instruments; in each, ``(symbol, ts)``
            is unique.
        ended: of timeframes of ``bars``: derived bars (symbol, start) that are no longer believed, because their period
            has another label or nothing to be made of. They become revisions; a provider's bar stays.
        retracted: of timeframes of ``bars``: bars that their source does not give any more. They become revisions.
        origin: what publishes, for the log (``ops.publication``).
        now: the present, UTC; by default the server's clock, or just after the last publication if that went back.
        limits: decides whether the bars travel as arrays or by COPY.

    Returns:
        A report for each of ``bars``, from narrow timeframes to wide ones.

    Raises:
        UsageError: a duplicate key, or a price that is null or not finite. Nothing was written.
        UnknownSymbolError: a symbol is not a registered instrument. Nothing was written.
        LakeError: a window that left the store cannot be read. Nothing was written.
    """
    batches = {timeframe: Batch(conform(bars[timeframe])) for timeframe in sorted(bars, key=attrgetter("rank"))}
    owners = (symbol for keys in (*ended.values(), *(each.keys for each in retracted.values())) for symbol, _ in keys)
    symbols = sorted(set().union(owners, *(batch.symbols for batch in batches.values())))
    with _transaction(connection, live=sum(map(len, batches.values())) <= limits.rows_as_arrays):
        locked = lock_symbols(connection, list(batches), symbols)
        # After the locks, so that whoever waited for them is later than whoever held them.
        facts = [_ask(connection, timeframe, batch, now) for timeframe, batch in batches.items()]
        _make_room(connection, warehouse, batches)
        ids, calendars = _registered(symbols, locked)
        writer = _Writer(connection, warehouse, ids, limits)
        publications = writer.write_all(batches, facts, ended, retracted)
        changed = [each for each in publications if len(each.changes)]
        log = record(connection, changed, calendars=calendars, origin=origin) if changed else None
        _recount(connection, publications, retracted, calendars)
    return _reports(publications, ids, log)


def _make_room(connection: psycopg.Connection, warehouse: Warehouse, batches: Mapping[Timeframe, Batch]) -> None:
    for timeframe, batch in batches.items():
        if len(batch):
            warehouse.edition.prepare(connection, timeframe, batch.first, batch.last)


def _recount(
    connection: psycopg.Connection,
    publications: Sequence[Publication],
    retracted: Mapping[Timeframe, Retraction],
    calendars: Mapping[int, str],
) -> None:
    """Count the sessions of retracted minutes anew, after what was inserted was counted."""
    for publication in publications:
        if publication.timeframe is Timeframe.M1 and Timeframe.M1 in retracted:
            recount_sessions(connection, publication.changes, calendars)


@dataclass(frozen=True, slots=True)
class _Writer:
    """What writes the batches of one transaction, which holds the instruments' locks."""

    connection: psycopg.Connection
    warehouse: Warehouse
    ids: Mapping[str, int]
    limits: MergeLimits

    def write_all(
        self,
        batches: Mapping[Timeframe, Batch],
        facts: Sequence[psycopg.Cursor],
        ended: Mapping[Timeframe, Sequence[tuple[str, datetime]]],
        retracted: Mapping[Timeframe, Retraction],
    ) -> list[Publication]:
        """Bring every batch into its table, and end and retract bars; ``facts`` are the answers to ``_ask``."""
        publications = [
            self.write(timeframe, batch, *(answer.fetchone() or (None, None, None)))
            for (timeframe, batch), answer in zip(batches.items(), facts, strict=True)
        ]
        publications = [self.end(each, ended.get(each.timeframe, ())) for each in publications]
        return [self.retract(each, retracted) for each in publications]

    def write(
        self, timeframe: Timeframe, batch: Batch, known_at: datetime, sources: Mapping[str, int] | None, cold: bool
    ) -> Publication:
        """Bring ``batch`` into the table of ``timeframe``; see ``before_publishing`` for the rest."""
        if not len(batch):
            return Publication(timeframe, batch, Changes.none(), known_at)
        numbers = source_ids(self.connection, batch.sources, sources or {})
        derived = {} if timeframe.is_intraday else derived_sources(sources, batch.sources, numbers)
        rows = batch.rows(self.ids, numbers)
        if cold:
            rows = restore_on_write(self.connection, self.warehouse, rows, timeframe=timeframe, derived=derived)
        changes = write(
            self.connection,
            timeframe,
            rows,
            known_at,
            derived=list(derived.values()),
            may_be_compressed=self.warehouse.edition.compresses,
            limits=self.limits,
        )
        return Publication(timeframe, batch, changes, known_at)

    def end(self, publication: Publication, keys: Sequence[tuple[str, datetime]]) -> Publication:
        """End the derived bars of these keys, as a part of ``publication``."""
        if not keys:
            return publication
        ids = [self.ids[symbol] for symbol, _ in keys]
        changes = end_bars(
            self.connection,
            publication.timeframe,
            ids,
            [ts for _, ts in keys],
            publication.known_at,
            only_derived=publication.timeframe.is_ingested,
        )
        return replace(publication, changes=publication.changes.joined(changes), ended=len(changes))

    def retract(self, publication: Publication, retracted: Mapping[Timeframe, Retraction]) -> Publication:
        """End the bars of its timeframe that are retracted, as a part of ``publication``."""
        retraction = retracted.get(publication.timeframe)
        if retraction is None:
            return publication
        return retract(self.connection, self.warehouse, publication, retraction, self.ids)


@contextmanager
def _transaction(connection: psycopg.Connection, *, live: bool) -> Iterator[None]:
    """Run the block in one transaction, or as a part of the caller's.

    The statements of a ``live`` batch go to the server without waiting for each one's answer: they take less time than
    the way there and back. (COPY cannot be sent so; behind a pooler, the settings come first and are looked at.)
    """
    if not live or is_pooled(connection) or connection.info.transaction_status != TransactionStatus.IDLE:
        with connection.transaction():
            yield
        return
    try:
        with connection.pipeline() as pipeline:
            connection.execute("BEGIN")
            pipeline.sync()  # so that the driver knows that it is in a transaction, and makes a part of it of any other
            yield
            connection.execute("COMMIT")
    except BaseException:
        if not connection.closed:
            connection.rollback()
        raise


def _ask(connection: psycopg.Connection, timeframe: Timeframe, batch: Batch, now: datetime | None) -> psycopg.Cursor:
    """Ask what ``before_publishing`` answers; one timeframe at a time, for which the server keeps its plan."""
    may_be_cold = timeframe.is_ingested and len(batch)
    return connection.execute(
        query("publishing/before_publishing"),
        {
            "timeframe": timeframe.value,
            "now": now,
            "symbols": batch.symbols,
            "start": timeframe.window_of(batch.first).start.date() if may_be_cold else None,
            "last": batch.last.date() if may_be_cold else None,
        },
    )


def _reports(
    publications: Sequence[Publication], ids: dict[str, int], log: psycopg.Cursor | None
) -> dict[Timeframe, PublishReport]:
    """Return the reports when the transaction is over, so that a live batch does not wait for its row in the log."""
    numbers: dict[str, int] = dict(log.fetchall()) if log is not None else {}
    reports = {}
    for each in publications:
        revised = int(each.changes.revised.sum())
        reports[each.timeframe] = PublishReport(
            inserted=len(each.changes) - revised,
            revised=revised,
            unchanged=each.unchanged,
            known_at=each.known_at,
            changes=each.changes,
            ids=ids,
            publication_id=numbers.get(each.timeframe.value),
        )
    return reports


def _registered(symbols: Sequence[str], locked: psycopg.Cursor) -> tuple[dict[str, int], dict[int, str]]:
    """Return the locked rows: ids by symbol, calendars by id; raise if one of ``symbols`` is not among them."""
    instruments: list[tuple[str, int, str]] = [row[:3] for row in locked.fetchall()]
    ids = {symbol: instrument_id for symbol, instrument_id, _ in instruments}
    unknown = sorted(set(symbols) - set(ids))
    if unknown:
        raise UnknownSymbolError(f"{', '.join(unknown)}: not registered; add to config/universe.yaml or register first")
    return ids, {instrument_id: calendar for _, instrument_id, calendar in instruments}
