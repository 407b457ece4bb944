"""The main job: ask a provider, let the gate judge, quarantine what it rejects, publish the rest.

Works batch by batch; what a batch published stays published whatever happens to the next. Not here: what runs when
(``pipelines``), the rules (``expectations``) and the publishing transaction (``store.publish``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Literal, TypeAlias

import psycopg
import pyarrow as pa

from chandlery import quarantine
from chandlery.audit import Gate, Partition, Verdict
from chandlery.errors import ProviderAuthError, ProviderError
from chandlery.providers.base import BarReply, BarRequest, Provider
from chandlery.schema import empty_bars
from chandlery.store.connect import Database
from chandlery.store.merge import count_windows
from chandlery.store.publish import PublishReport, publish
from chandlery.timeframe import Timeframe

#: Bars in memory at a time, roughly: large enough that a batch's fixed costs do not show.
ROWS_PER_BATCH = 500_000
_BARS_PER_DAY = {Timeframe.M1: 1440, Timeframe.D1: 1}

Status: TypeAlias = Literal["published", "rejected", "failed"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one partition.

    Attributes:
        partition: which.
        status: ``published``: audited, and its good rows are in the store (there may be none, where none were
            expected); ``rejected``: the gate refused it, and it waits in quarantine; ``failed``: the provider did not
            deliver it.
        inserted: bars that were not there.
        revised: bars whose values changed.
        unchanged: bars that were there already.
        quarantined: rows that wait in quarantine.
        verdict: the gate's; None where ``failed``.
        error: the provider's; None unless ``failed``.
        quarantine_id: number of the entry in quarantine, if any row was rejected.
        sources: sources of the rows that were offered.
    """

    partition: Partition
    status: Status
    inserted: int = 0
    revised: int = 0
    unchanged: int = 0
    quarantined: int = 0
    verdict: Verdict | None = field(default=None, repr=False)
    error: ProviderError | None = None
    quarantine_id: int | None = None
    sources: Sequence[str] = ()


def ingest(
    database: Database,
    provider: Provider,
    gate: Gate,
    partitions: Sequence[Partition],
    *,
    now: datetime | None = None,
) -> Iterator[Outcome]:
    """Ingest ``partitions`` and yield what became of each, batch by batch.

    A symbol that the provider does not know, or a batch that it does not deliver, fails alone. Running again changes
    nothing that is unchanged.

    Args:
        database: where to publish.
        provider: whom to ask.
        gate: who judges.
        partitions: of one timeframe, in any order.
        now: the present, UTC, for the gate and ``known_at``; the clock by default.

    Raises:
        ProviderAuthError: the provider's key is refused; nothing later would succeed either.
    """
    for batch in plan_batches(partitions):
        yield from _ingest_batch(database, provider, gate, batch, now)


def plan_batches(partitions: Sequence[Partition], rows: int = ROWS_PER_BATCH) -> Iterator[list[Partition]]:
    """Divide ``partitions`` into batches of about ``rows`` bars that can be asked for as one range of time each.

    Symbols that want the same range share a batch; a symbol that wants too much is divided by time.
    """
    spans = []
    ordered = sorted(partitions, key=lambda p: (p.symbol, p.start))
    for _, mine in groupby(ordered, key=lambda p: p.symbol):
        spans += list(_contiguous(list(mine), rows))
    spans.sort(key=lambda span: (span[0].start, span[-1].end))
    for _, alike in groupby(spans, key=lambda span: (span[0].start, span[-1].end)):
        batch: list[Partition] = []
        for span in alike:
            if batch and _estimate(batch) + _estimate(span) > rows:
                yield batch
                batch = []
            batch += span
        yield batch


def _contiguous(partitions: list[Partition], rows: int) -> Iterator[list[Partition]]:
    span: list[Partition] = []
    for partition in partitions:
        if span and (partition.start != span[-1].end or _estimate([*span, partition]) > rows):
            yield span
            span = []
        span.append(partition)
    if span:
        yield span


def _estimate(partitions: Sequence[Partition]) -> int:
    days = sum((partition.end - partition.start).days + 1 for partition in partitions)
    return days * _BARS_PER_DAY[partitions[0].timeframe]


def _ingest_batch(
    database: Database, provider: Provider, gate: Gate, batch: list[Partition], now: datetime | None
) -> list[Outcome]:
    first, last = batch[0], batch[-1]
    symbols = list(dict.fromkeys(partition.symbol for partition in batch))
    request = BarRequest(symbols, first.timeframe, first.start, last.end)
    try:
        # A window of which nothing was asked for is judged all the same, so that it is accounted for.
        reply = provider.fetch(request) if request.start < request.end else BarReply(empty_bars())
    except ProviderAuthError:
        raise
    except ProviderError as error:
        return [Outcome(partition, "failed", error=error) for partition in batch]
    failed = [
        Outcome(partition, "failed", error=reply.failures[partition.symbol])
        for partition in batch
        if partition.symbol in reply.failures
    ]
    judged = [partition for partition in batch if partition.symbol not in reply.failures]
    if not judged:
        return failed
    report = gate.audit(reply.bars, judged, now=now or datetime.now(UTC))
    with database.connection() as connection:
        outcomes, released = _set_aside(connection, report.verdicts, provider.name)
        bars = pa.concat_tables([report.accepted, *released]).unify_dictionaries()
        published = publish(connection, database.edition, first.timeframe, bars, now=now, lake=database.lake)
    offered = _count(bars, first.timeframe)
    sources = tuple(reply.bars["source"].unique().to_pylist())
    changed = _count_changes(published, first.timeframe)
    return failed + [_finish(outcome, offered, changed, sources) for outcome in outcomes]


def _set_aside(
    connection: psycopg.Connection, verdicts: Sequence[Verdict], provider: str
) -> tuple[list[Outcome], list[pa.Table]]:
    """Quarantine what was rejected, before anything is published; return also the rows that were released before."""
    outcomes, released = [], []
    for verdict in verdicts:
        outcome = Outcome(verdict.partition, "published" if verdict.passed else "rejected", verdict=verdict)
        if verdict.rejected.num_rows:
            entry = quarantine.put(connection, verdict, provider)
            accepted = quarantine.released_rows(entry, verdict)
            released.append(accepted)
            outcome = replace(
                outcome,
                status="published" if entry.released_at is not None else outcome.status,
                quarantined=verdict.rejected.num_rows - accepted.num_rows,
                quarantine_id=entry.quarantine_id,
            )
        outcomes.append(outcome)
    return outcomes, released


def _finish(
    outcome: Outcome,
    offered: Mapping[tuple[str, str], int],
    changed: Mapping[tuple[str, str], tuple[int, int]],
    sources: tuple[str, ...],
) -> Outcome:
    if outcome.status != "published":
        return replace(outcome, sources=sources)
    key = (outcome.partition.symbol, outcome.partition.window.key)
    inserted, revised = changed.get(key, (0, 0))
    unchanged = offered.get(key, 0) - inserted - revised
    return replace(outcome, inserted=inserted, revised=revised, unchanged=unchanged, sources=sources)


def _count(bars: pa.Table, timeframe: Timeframe) -> dict[tuple[str, str], int]:
    """Return the number of bars in each (symbol, window)."""
    if not bars.num_rows:
        return {}
    symbol = bars["symbol"].combine_chunks()
    names = symbol.dictionary.to_pylist()
    counts = count_windows(symbol.indices.to_numpy(), bars["ts"].to_numpy(), timeframe)
    return {(names[code], window): count for (code, window), count in counts.items()}


def _count_changes(report: PublishReport, timeframe: Timeframe) -> dict[tuple[str, str], tuple[int, int]]:
    """Return (inserted, revised) of each (symbol, window) that changed."""
    names = {instrument_id: symbol for symbol, instrument_id in report.ids.items()}
    changes = report.changes.by_window(timeframe)
    return {(names[instrument_id], window): counts for (instrument_id, window), counts in changes.items()}
