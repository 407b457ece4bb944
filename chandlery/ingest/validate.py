"""What becomes of an answer: the gate audits it, what it rejects is quarantined, and the rest is published.

Not here: where answers come from (``fetch``, ``landing``), and the rules of the gate (``expectations``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pyarrow as pa

from chandlery.bars.origin import Origin
from chandlery.bars.rows import count_windows
from chandlery.core.calendars import get_calendar
from chandlery.core.partition import Partition
from chandlery.core.schema import empty_bars
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.requested import RequestedRange, record_requested, session_ranges, session_slice
from chandlery.coverage.retry_schedule import count_answers
from chandlery.ingest import quarantine, rejected_rows
from chandlery.ingest.answer import ProviderAnswer
from chandlery.ingest.decided import read_decided
from chandlery.ingest.gate import AuditReport, Gate
from chandlery.ingest.landing import mark_processed
from chandlery.ingest.released import mark_released_bars
from chandlery.ingest.result import PartitionResult
from chandlery.ingest.vanished import Vanished, find_vanished, publish_without, record_vanished
from chandlery.ingest.warnings import record_warnings
from chandlery.providers.base import ProviderLimits
from chandlery.quality.suspect_findings import record_suspects
from chandlery.tiers.warehouse import Warehouse


class BatchProcessor:
    """Takes batches of one provider's answers through the gate and into the store.

    Args:
        warehouse: where to publish.
        gate: that audits each batch.
        provider: name of the provider that answered.
        limits: of that provider.
        timeframe: of the bars.
        run_id: the orchestrator's number of the run that ingests; None outside of a run.
        retract: end what files hold no longer.
        now: the present, UTC; the clock by default.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        gate: Gate,
        provider: str,
        limits: ProviderLimits,
        timeframe: Timeframe,
        *,
        run_id: str | None = None,
        retract: bool = False,
        now: datetime | None = None,
    ) -> None:
        self._warehouse = warehouse
        self._gate = gate
        self._provider = provider
        self._timeframe = timeframe
        self._run_id = run_id
        self._retract = retract
        self._now = now
        self._settlement_delay = limits.settlement_delay.get(timeframe, timedelta())

    def process(self, answers: Sequence[ProviderAnswer]) -> list[PartitionResult]:
        """Let the gate audit these answers, quarantine what it rejects and publish the rest.

        The published bars, the requested ranges and that the answers are processed become known in one transaction.

        Returns:
            What became of each partition of the answers.
        """
        if not answers:
            return []
        pairs = [(partition, answer) for answer in answers for partition in answer.partitions]
        results = [
            PartitionResult(partition, "failed", error=answer.failures[partition.symbol])
            for partition, answer in pairs
            if partition.symbol in answer.failures
        ]
        served = [(partition, answer) for partition, answer in pairs if partition.symbol not in answer.failures]
        bars = pa.concat_tables([answer.bars for answer in answers]).unify_dictionaries()
        now = self._now or datetime.now(UTC)
        empty = self._empty([partition for partition, _ in served], bars)
        found = find_vanished(self._warehouse, self._timeframe, answers)
        offered = [partition for partition, _ in served if partition not in empty]
        with self._warehouse.connection() as connection:
            decided = read_decided(connection, self._timeframe, offered)
        report = self._gate.audit(bars, offered, now=now, decided=decided) if offered else None
        with self._warehouse.connection() as connection:
            # Quarantined before the transaction: where publishing fails, it is known all the same what was rejected.
            audited = self._quarantine(connection, report, {part.key: answer for part, answer in served})
            audited += [PartitionResult(partition, "empty") for partition in empty]
            # A file that is rejected is not believed in what it lacks either.
            gone = [found[each.partition.key] for each in audited if each.partition.key in found and each.is_believed]
            rules = report.rules if report else None
            released = [verdict.released for verdict in report.verdicts] if report else []
            origin = self._origin(answers, rules, released)
            with connection.transaction():
                accepted = [report.accepted] if report else []
                accepted += [rejected_rows.as_bars(rows) for rows in released if rows.num_rows]
                finished = self._publish(connection, accepted, audited, gone, origin)
                if report:
                    finished = record_warnings(connection, self._timeframe, self._provider, finished)
                    for each in report.verdicts:
                        mark_released_bars(connection, self._timeframe, each.partition.instrument_id, each.released)
                    self._mark_replaced(connection, [each for each in finished if each.status != "empty"])
                results += finished
                self._record_requested(connection, served, now)
                landing_ids = [answer.landing_id for answer in answers if answer.landing_id is not None]
                mark_processed(connection, landing_ids)
        return results

    def _origin(
        self, answers: Sequence[ProviderAnswer], rules: str | None, released: Sequence[pa.Table] = ()
    ) -> Origin:
        """Return where bars of these answers come from, with the entries of what was ``released`` before."""
        entries = {number for rows in released for number in rows["quarantine_id"].to_pylist()}
        partitions = [partition for answer in answers for partition in answer.partitions]
        return Origin(
            run_id=self._run_id,
            rules=rules,
            provider=self._provider,
            requested_at=min(answer.requested_at for answer in answers),
            request_start=min(partition.start for partition in partitions),
            request_end=max(partition.end for partition in partitions),
            files={symbol: file for answer in answers for symbol, file in answer.files.items()},
            landing_ids=[answer.landing_id for answer in answers if answer.landing_id is not None],
            quarantine_ids=sorted(entries),
        )

    def _empty(self, partitions: Sequence[Partition], bars: pa.Table) -> dict[Partition, None]:
        """Return the partitions with sessions of which the provider has nothing: coverage shows it, no gate does."""
        counts = _count(bars, self._timeframe)
        return {
            partition: None
            for partition in partitions
            if (partition.symbol, partition.window.key) not in counts and has_sessions(partition)
        }

    def _quarantine(
        self, connection: psycopg.Connection, report: AuditReport | None, answers: Mapping[str, ProviderAnswer]
    ) -> list[PartitionResult]:
        """Quarantine what was rejected, where ``answers`` are by partition's key; return the results so far."""
        results: list[PartitionResult] = []
        sources = tuple(
            dict.fromkeys(name for answer in answers.values() for name in answer.bars["source"].unique().to_pylist())
        )
        for verdict in report.verdicts if report else []:
            answer = answers[verdict.partition.key]
            decided = [*verdict.released["quarantine_id"].to_pylist(), *verdict.left_out["quarantine_id"].to_pylist()]
            result = PartitionResult(
                verdict.partition,
                "published" if verdict.passed else "rejected",
                verdict=verdict,
                rules=report.rules if report else None,
                landed=answer.path,
                sources=sources,
                quarantined=verdict.rejected.num_rows + verdict.left_out.num_rows,
                released=verdict.released.num_rows,
                quarantine_id=max(decided, default=None),
            )
            if verdict.rejected.num_rows:
                origin = self._origin([answer], report.rules if report else None)
                entry = rejected_rows.store_rejected(connection, verdict, self._provider, origin)
                result = replace(result, quarantine_id=entry.quarantine_id)
            results.append(result)
        return results

    def _publish(
        self,
        connection: psycopg.Connection,
        accepted: Sequence[pa.Table],
        results: Sequence[PartitionResult],
        gone: Sequence[Vanished],
        origin: Origin,
    ) -> list[PartitionResult]:
        """Publish what was accepted, in the caller's transaction; return the results with how many bars changed.

        What vanished ends, if that is wanted, and is a finding otherwise.
        """
        bars = pa.concat_tables(accepted).unify_dictionaries() if accepted else empty_bars()
        ended = [each for each in gone if self._retract and each.bars.num_rows]
        remaining = [each.retracted() for each in gone] if self._retract else gone
        record_vanished(connection, self._timeframe, remaining, origin.files)
        counts, missing = _count(bars, self._timeframe), {each.partition.key: each.bars.num_rows for each in gone}
        if not accepted and not ended:
            return [replace(result, vanished=missing.get(result.partition.key, 0)) for result in results]
        store = connection, self._warehouse, self._timeframe
        reports = publish_without(*store, bars, ended, origin=origin, now=self._now)
        published = reports.pop(self._timeframe)
        record_suspects(*store, published.changes)
        changes = published.changes.by_window(self._timeframe)
        derived = {width: report.changes.by_window(width) for width, report in reports.items()}
        finished = []
        for result in results:
            partition = result.partition
            if not result.is_believed:
                finished.append(result)
                continue
            key = partition.symbol, partition.window.key
            place = partition.instrument_id, partition.window.key
            inserted, revised = changes.get(place, (0, 0))
            count = missing.get(partition.key, 0)
            retracted = count if self._retract else 0
            finished.append(
                replace(
                    result,
                    inserted=inserted,
                    revised=revised - retracted,
                    unchanged=counts.get(key, 0) - inserted - revised + retracted,
                    vanished=count - retracted,
                    retracted=retracted,
                    derived={width: of[place][1] for width, of in derived.items() if place in of},
                    publication_id=published.publication_id if inserted or revised else None,
                    known_at=published.known_at if inserted or revised else None,
                )
            )
        return finished

    def _mark_replaced(self, connection: psycopg.Connection, results: Sequence[PartitionResult]) -> None:
        """Mark what was rejected before, of these sessions: the provider has answered for them again."""
        sessions: dict[int, list[str]] = defaultdict(list)
        for partition in (result.partition for result in results):
            calendar = get_calendar(partition.calendar)
            ranges = session_ranges(calendar, self._timeframe, partition.start, partition.end)
            sessions[partition.instrument_id] += ranges
        current = [result.quarantine_id for result in results if result.quarantine_id is not None]
        quarantine.mark_replaced(connection, self._timeframe, self._provider, sessions, current)

    def _record_requested(
        self, connection: psycopg.Connection, served: Sequence[tuple[Partition, ProviderAnswer]], now: datetime
    ) -> None:
        """Record which ranges were requested and answered, in the transaction that publishes what came of it."""
        requested = [
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
        record_requested(connection, self._timeframe, requested, now=self._now)
        count_answers(connection, self._timeframe, requested, now)


def has_sessions(partition: Partition) -> bool:
    """Return whether there are sessions of which bars would be expected."""
    part = session_slice(get_calendar(partition.calendar), partition.timeframe, partition.start, partition.end)
    return bool(part.stop > part.start)


def _count(bars: pa.Table, timeframe: Timeframe) -> dict[tuple[str, str], int]:
    """Return the number of bars in each (symbol, window)."""
    if not bars.num_rows:
        return {}
    symbol = bars["symbol"].combine_chunks()
    names = symbol.dictionary.to_pylist()
    counts = count_windows(symbol.indices.to_numpy(), bars["ts"].to_numpy(), timeframe)
    return {(names[code], window): count for (code, window), count in counts.items()}
