"""What becomes of an answer: the gate judges it, what it rejects is quarantined, the rest is published and noted.

Not here: where answers come from (``ingest``, ``fetching``, ``landing``), and the rules (``expectations``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from chandlery.bars.rows import count_windows
from chandlery.core.calendars import Calendar, get_calendar
from chandlery.core.partition import Partition
from chandlery.core.schema import TS
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import DAY_US
from chandlery.coverage.requested import RequestedRange, final_sessions, record_requested, session_ranges, session_slice
from chandlery.coverage.retry_schedule import count_answers
from chandlery.errors import ProviderError
from chandlery.ingest import quarantine
from chandlery.ingest.fetch import Answer
from chandlery.ingest.gate import Gate, Verdict
from chandlery.ingest.landing import Landed, Landing, settle
from chandlery.instruments.registry import Instrument
from chandlery.providers.base import ProviderLimits
from chandlery.publishing.publish import PublishReport, publish
from chandlery.tiers.warehouse import Warehouse

Status: TypeAlias = Literal["published", "rejected", "failed", "complete", "empty"]


@dataclass(frozen=True, slots=True)
class PartitionResult:
    """What became of one partition.

    Attributes:
        partition: which.
        status: ``published``: audited, and its good rows are in the store (there may be none, where none were
            expected); ``rejected``: the gate refused it, and it waits in quarantine; ``failed``: the provider did not
            deliver it; ``complete``: all of it was asked for before and is final, so nobody was asked; ``empty``: the
            remote provider answered that it has nothing, where there were sessions.
        inserted: bars that were not there.
        revised: bars whose values changed.
        unchanged: bars that were there already.
        quarantined: rows that wait in quarantine.
        verdict: the gate's; None where ``failed`` or ``complete``.
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


class BatchProcessor:
    """Has answers judged by the gate, and does what follows.

    Args:
        warehouse: where to publish.
        provider: name of who answered.
        limits: of that provider.
        gate: whose verdict it is.
        timeframe: of the bars.
        instruments: by symbol.
        now: the present, UTC; the clock by default.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        provider: str,
        limits: ProviderLimits,
        gate: Gate,
        *,
        timeframe: Timeframe,
        instruments: Mapping[str, Instrument],
        now: datetime | None = None,
    ) -> None:
        self._warehouse = warehouse
        self._provider = provider
        self._gate = gate
        self._timeframe = timeframe
        self._instruments = instruments
        self._now = now
        self._remote = limits.remote
        self._settlement_delay = limits.settlement_delay.get(timeframe, timedelta())

    def recover(self, landing: Landing) -> Iterator[PartitionResult]:
        """Judge what runs that died left in the landing zone."""
        for landed in landing.waiting(self._provider, self._timeframe):
            yield from self.judge([self.answer(landing, landed)])

    def answer(self, landing: Landing, landed: Landed) -> Answer:
        """Return what landed as an answer."""
        bars = landing.read(landed)
        start, end = (pa.scalar(moment, TS) for moment in (landed.start_ts, landed.end_ts))
        mine = pc.is_in(bars["symbol"].cast(pa.string()), pa.array(landed.symbols, pa.string()))
        inside = pc.and_(mine, pc.and_(pc.greater_equal(bars["ts"], start), pc.less(bars["ts"], end)))
        wanted = [
            Partition.of(self._instruments[symbol], self._timeframe, window, landed.start_ts, landed.end_ts)
            for symbol in landed.symbols
            if symbol in self._instruments
            for window in self._timeframe.windows(landed.start_ts, landed.end_ts)
        ]
        return Answer(wanted, bars.filter(inside), {}, landed.fetched_at, landed)

    def narrow(self, partitions: Sequence[Partition]) -> tuple[list[Partition], list[Partition]]:
        """Return what is left to ask for: each partition from its first session that is not final to its last.

        Returns:
            Partitions that are still open, narrowed, and those of which every session that began is final.
        """
        calendars = {partition.instrument_id: partition.calendar for partition in partitions}
        with self._warehouse.connection() as connection:
            final = final_sessions(connection, self._timeframe, calendars)
        open_, complete = [], []
        for partition in partitions:
            calendar = get_calendar(partition.calendar)
            part = session_slice(calendar, self._timeframe, partition.start, partition.end)
            left = np.flatnonzero(~final[partition.instrument_id][part])
            if not len(left):
                complete.append(partition)
                continue
            first, last = part.start + int(left[0]), part.start + int(left[-1])
            start = max(partition.start, _begin(calendar, self._timeframe, first))
            end = partition.end if last == part.stop - 1 else _begin(calendar, self._timeframe, last + 1)
            open_.append(replace(partition, start=start, end=min(end, partition.end)))
        return open_, complete

    def judge(self, answers: Sequence[Answer]) -> list[PartitionResult]:
        """Let the gate judge these answers; quarantine what it rejects, publish the rest.

        What is published, what was asked for and that answers are settled become known in one transaction.
        """
        if not answers:
            return []
        failed = [
            PartitionResult(partition, "failed", error=answer.failures[partition.symbol])
            for answer in answers
            for partition in answer.partitions
            if partition.symbol in answer.failures
        ]
        served = [
            (partition, answer)
            for answer in answers
            for partition in answer.partitions
            if partition.symbol not in answer.failures
        ]
        bars = pa.concat_tables([answer.bars for answer in answers]).unify_dictionaries()
        now = self._now or datetime.now(UTC)
        empty = self._empty([partition for partition, _ in served], bars)
        judged = [partition for partition, _ in served if partition not in empty]
        report = self._gate.audit(bars, judged, now=now) if judged else None
        outcomes = failed + [PartitionResult(partition, "empty") for partition in empty]
        with self._warehouse.connection() as connection:
            aside, released = _set_aside(connection, report.verdicts if report else [], self._provider)
            with connection.transaction():
                if report:
                    good = pa.concat_tables([report.accepted, *released]).unify_dictionaries()
                    outcomes += self._publish(connection, good, aside, tuple(bars["source"].unique().to_pylist()))
                    self._replace(connection, aside)
                self._note(connection, served, now)
                settle(connection, [answer.landed for answer in answers if answer.landed])
        return outcomes

    def _empty(self, partitions: Sequence[Partition], bars: pa.Table) -> dict[Partition, None]:
        """Return the partitions in which there were sessions, and a remote provider has nothing of them.

        That is no reason to reject anything: coverage says so, and repair requests it again.
        """
        if not self._remote:
            return {}
        offered = _count(bars, self._timeframe)
        return {
            partition: None
            for partition in partitions
            if (partition.symbol, partition.window.key) not in offered and _has_sessions(partition)
        }

    def _publish(
        self,
        connection: psycopg.Connection,
        good: pa.Table,
        outcomes: Sequence[PartitionResult],
        sources: tuple[str, ...],
    ) -> list[PartitionResult]:
        """Publish what passed, in the caller's transaction, and return the outcomes with what came of it."""
        warehouse = self._warehouse
        published = publish(connection, warehouse, self._timeframe, good, now=self._now)
        offered = _count(good, self._timeframe)
        changed = _count_changes(published, self._timeframe)
        return [_finish(outcome, offered, changed, sources) for outcome in outcomes]

    def _replace(self, connection: psycopg.Connection, judged: Sequence[PartitionResult]) -> None:
        """Note what was rejected before and is not this provider's last word any more."""
        sessions: dict[int, list[str]] = defaultdict(list)
        for outcome in judged:
            partition = outcome.partition
            calendar = get_calendar(partition.calendar)
            ranges = session_ranges(calendar, self._timeframe, partition.start, partition.end)
            sessions[partition.instrument_id] += ranges
        current = [outcome.quarantine_id for outcome in judged if outcome.quarantine_id is not None]
        quarantine.note_replaced(connection, self._timeframe, self._provider, sessions, current)

    def _note(self, connection: psycopg.Connection, served: Sequence[tuple[Partition, Answer]], now: datetime) -> None:
        """Note what was asked for, and answered, in the transaction that keeps what came of it."""
        asks = [
            RequestedRange(
                partition.instrument_id,
                partition.calendar,
                partition.start,
                partition.end,
                answer.requested_at,
                self._settlement_delay,
            )
            for partition, answer in served
        ]
        record_requested(connection, self._timeframe, asks, now=self._now)
        count_answers(connection, self._timeframe, asks, now)


def _has_sessions(partition: Partition) -> bool:
    part = session_slice(get_calendar(partition.calendar), partition.timeframe, partition.start, partition.end)
    return bool(part.stop > part.start)


def _begin(calendar: Calendar, timeframe: Timeframe, session: int) -> datetime:
    """Return where a request for one session begins: intraday at the close before, for the extended hours between."""
    if timeframe is Timeframe.D1:
        micros = calendar.sessions[session] * DAY_US
    else:
        micros = calendar.closes[session - 1] if session else calendar.opens[session]
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(micros))


def _set_aside(
    connection: psycopg.Connection, verdicts: Sequence[Verdict], provider: str
) -> tuple[list[PartitionResult], list[pa.Table]]:
    """Quarantine what was rejected, before anything is published; return also the rows that were released before."""
    outcomes, released = [], []
    for verdict in verdicts:
        outcome = PartitionResult(verdict.partition, "published" if verdict.passed else "rejected", verdict=verdict)
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
    outcome: PartitionResult,
    offered: Mapping[tuple[str, str], int],
    changed: Mapping[tuple[str, str], tuple[int, int]],
    sources: tuple[str, ...],
) -> PartitionResult:
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
