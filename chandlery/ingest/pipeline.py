"""The main job: ask a provider, let the gate judge, quarantine what it rejects, publish the rest.

Works batch by batch; what a batch published stays published whatever happens to the next. Not here: what runs when
(``pipelines``), asking (``fetching``), judging (``judging``) and the publishing transaction (``store.publish``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from chandlery.ingest.fetch import Answer, Progress, ask, fetch, plan_requests
from chandlery.ingest.gate import Gate
from chandlery.ingest.landing import Landed, Landing
from chandlery.ingest.validate import BatchProcessor, PartitionResult
from chandlery.instruments.registry import list_instruments
from chandlery.providers.base import Provider, ProviderLimits
from chandlery.tiers.warehouse import Warehouse

#: Bars judged and published together, roughly: so many that a batch's fixed costs do not show.
_ROWS_PER_BATCH = 500_000


def ingest(
    warehouse: Warehouse,
    provider: Provider,
    gate: Gate,
    partitions: Sequence[Partition],
    *,
    landing: Landing | None = None,
    refresh: bool = False,
    tell: Callable[[Progress], None] | None = None,
    now: datetime | None = None,
) -> Iterator[PartitionResult]:
    """Ingest ``partitions`` and yield what became of each, batch by batch.

    A symbol that the provider does not know, or a request that it does not answer, fails alone. Running again changes
    nothing that is unchanged. Of a remote provider, answers are landed before they are judged; those that a run left
    behind when it died are judged first, and sessions that are final are not asked for again.

    Args:
        warehouse: where to publish.
        provider: whom to ask.
        gate: who judges.
        partitions: of one timeframe, in any order, not overlapping.
        landing: where a remote provider's answers are kept; without one they are not.
        refresh: ask for everything, also for what is final.
        tell: hears how far the asking is.
        now: the present, UTC, for the gate and ``known_at``; the clock by default.

    Raises:
        ProviderAuthError: the provider's key is refused; nothing later would succeed either.
        LakeError: the landing zone cannot be written to or read.
    """
    if not partitions:
        return
    with warehouse.connection() as connection:
        instruments = {instrument.symbol: instrument for instrument in list_instruments(connection)}
    timeframe = partitions[0].timeframe
    judge = BatchProcessor(
        warehouse, provider.name, provider.limits, gate, timeframe=timeframe, instruments=instruments, now=now
    )
    if landing is None or not provider.limits.remote:
        for request in plan_requests(partitions, provider.limits):
            yield from judge.judge([ask(provider, request, now)])
        return
    with landing.writer() as writer:
        wanted = {partition.key for partition in partitions}
        left = [outcome for outcome in judge.recover(landing) if outcome.partition.key in wanted]
        yield from left
        told = {outcome.partition.key for outcome in left}
        open_, complete = (partitions, []) if refresh else judge.narrow(partitions)
        yield from (PartitionResult(partition, "complete") for partition in complete if partition.key not in told)
        requests = list(plan_requests(open_, provider.limits))
        waiting: list[Answer] = []
        for answers in fetch(provider, requests, landing, writer, tell=tell, now=now):
            waiting += answers
            while sum(answer.bars.num_rows for answer in waiting) > _ROWS_PER_BATCH:
                batch, waiting = _take(waiting)
                yield from judge.judge(batch)
            yield from judge.judge(waiting)
            waiting = []


def replay(
    warehouse: Warehouse,
    landing: Landing,
    gate: Gate,
    landed: Sequence[Landed],
    *,
    limits: ProviderLimits,
    within: Mapping[str, tuple[datetime, datetime]] | None = None,
) -> Iterator[PartitionResult]:
    """Judge and publish again what landed, for example because a rule changed. The provider is not asked.

    Of a range that landed more than once, the latest answer counts; others would look like restatements.

    Args:
        warehouse: where to publish.
        landing: where the answers are.
        gate: who judges.
        landed: of one provider and timeframe, newest first, as ``Landing.find`` returns them.
        limits: of the provider.
        within: half-open range, UTC, by symbol: only these are replayed; all by default.

    Yields:
        What became of each partition's part of each answer.

    Raises:
        LakeError: a file is missing or damaged; names it.
    """
    if not landed:
        return
    with warehouse.connection() as connection:
        instruments = {instrument.symbol: instrument for instrument in list_instruments(connection)}
    name, timeframe = landed[0].provider, Timeframe(landed[0].timeframe)
    judge = BatchProcessor(warehouse, name, limits, gate, timeframe=timeframe, instruments=instruments)
    done: dict[str, list[tuple[datetime, datetime]]] = {}
    for one in landed:
        for start, end, symbols in _uncovered(one, done, within):
            part = replace(one, start_ts=start, end_ts=end, symbols=symbols)
            yield from judge.judge([judge.answer(landing, part)])


def _take(answers: list[Answer]) -> tuple[list[Answer], list[Answer]]:
    """Return as many answers as make a batch, at least one, and the rest."""
    rows = 0
    for place, answer in enumerate(answers):
        rows += answer.bars.num_rows
        if rows > _ROWS_PER_BATCH and place:
            return answers[:place], answers[place:]
    return answers, []


def _uncovered(
    landed: Landed,
    done: dict[str, list[tuple[datetime, datetime]]],
    within: Mapping[str, tuple[datetime, datetime]] | None,
) -> Iterator[tuple[datetime, datetime, list[str]]]:
    """Yield the parts of an answer that no later one covers, and add it to what is ``done``."""
    parts: dict[tuple[datetime, datetime], list[str]] = {}
    for symbol in landed.symbols:
        if within is not None and symbol not in within:
            continue
        first, last = within[symbol] if within is not None else (landed.start_ts, landed.end_ts)
        left = [(max(landed.start_ts, first), min(landed.end_ts, last))]
        left = [piece for piece in left if piece[0] < piece[1]]
        for begin, after in done.get(symbol, []):
            left = [
                piece
                for start, end in left
                for piece in ((start, min(end, begin)), (max(start, after), end))
                if piece[0] < piece[1]
            ]
        for piece in left:
            parts.setdefault(piece, []).append(symbol)
        done.setdefault(symbol, []).append((landed.start_ts, landed.end_ts))
    for (start, end), symbols in parts.items():
        yield start, end, symbols
