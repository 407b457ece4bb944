"""The way of bars from providers into the store: fetch, land, audit, quarantine or publish, batch by batch.

Whoever ingests goes through ``IngestPipeline``: the assets, and with them the command line and the schedules, and
tests. What a batch published stays published whatever happens to the next. Providers are called side by side, and one
that cannot be used fails alone. Not here: what runs when (``pipelines``), and what one batch goes through
(``validate``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from threading import Lock

from chandlery.core.calendars import changed_calendars
from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.calendar_changes import apply_calendars
from chandlery.errors import ChandleryError, StoreError
from chandlery.ingest.answer import ProviderAnswer
from chandlery.ingest.fetch import Progress, fetch_answer, fetch_answers, stop
from chandlery.ingest.gate import Gate
from chandlery.ingest.landing import LandedAnswer, Landing, newest_parts
from chandlery.ingest.plan import IngestOptions, open_partitions, plan_requests
from chandlery.ingest.result import PartitionResult
from chandlery.ingest.side_by_side import Emit, SideBySide
from chandlery.ingest.validate import BatchProcessor
from chandlery.instruments.aliases import other_tickers
from chandlery.instruments.registry import Instrument
from chandlery.providers.base import Provider, ProviderLimits
from chandlery.providers.configured import ConfiguredProviders
from chandlery.tiers.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """Sizes that the pipeline keeps to.

    Attributes:
        rows_per_batch: bars that are audited and published together, roughly: so many that a batch's fixed costs do
            not show.
    """

    rows_per_batch: int = 500_000


@dataclass(frozen=True, slots=True)
class _Run:
    """What the threads of one run share: its providers, what it chooses, and which providers were made."""

    providers: ConfiguredProviders
    options: IngestOptions
    made: list[Provider] = field(default_factory=list)

    def make(self, name: str, partitions: Sequence[Partition], warehouse: Warehouse) -> Provider:
        """Make the provider of ``partitions``, whose instruments are registered in ``warehouse``."""
        calendars = {partition.symbol: partition.calendar for partition in partitions}
        with warehouse.connection() as connection:
            tickers = other_tickers(connection, calendars)
        provider = self.providers.build(
            name, options=self.options.provider_options, calendars=calendars, tickers=tickers
        )
        self.made.append(provider)
        return provider

    def stop(self) -> None:
        """Let no provider make a further call."""
        for provider in self.made:
            stop(provider)


class IngestPipeline:
    """Ingests partitions of registered instruments.

    Args:
        warehouse: where to publish.
        gate: that audits each batch.
        instruments: all that are registered, by symbol.
        landing: where answers of remote providers are kept; without one they are not.
        limits: of the pipeline itself.
        run_id: the orchestrator's number of the run that ingests; None outside of a run.
        now: the present, UTC, for the gate and ``known_at``; the clock by default.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        gate: Gate,
        instruments: Mapping[str, Instrument],
        *,
        landing: Landing | None = None,
        limits: IngestLimits = IngestLimits(),
        run_id: str | None = None,
        now: datetime | None = None,
    ) -> None:
        self._warehouse = warehouse
        self._gate = gate
        self._instruments = instruments
        self._landing = landing
        self._limits = limits
        self._run_id = run_id
        self._now = now
        self._processing = Lock()

    def run(
        self,
        partitions: Sequence[Partition],
        providers: ConfiguredProviders,
        options: IngestOptions = IngestOptions(),  # noqa: B008 - frozen
        *,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Iterator[PartitionResult]:
        """Ingest ``partitions``, each from its instrument's provider, or the one in ``options``.

        The providers are called side by side. One that is not configured, lacks a package or its key, is refused, or
        whose landed answers are damaged fails alone: its partitions that had no result yet are ``failed``.

        Args:
            partitions: of one timeframe, in any order, not overlapping.
            providers: that are configured.
            options: what this run chooses.
            on_progress: called after each answer of a remote provider, always by the caller's thread.

        Yields:
            What became of each partition, as it is known.

        Raises:
            StoreError: the database went away or refused a statement, so that nothing later would succeed either.
        """
        by_provider: dict[str, list[Partition]] = defaultdict(list)
        for partition in partitions:
            by_provider[options.provider or self._instruments[partition.symbol].provider].append(partition)
        self._correct_calendars({partition.calendar for partition in partitions})
        run = _Run(providers, options)
        works = [partial(self._ingest_group, run, name, group) for name, group in sorted(by_provider.items())]
        side_by_side = SideBySide[PartitionResult | Progress](works, run.stop)
        for item in side_by_side.run():
            if not isinstance(item, Progress):
                yield item
            elif on_progress:
                on_progress(item)

    def _correct_calendars(self, names: AbstractSet[str]) -> None:
        """Store what a person entered of these calendars, so that the store and the gate know the same sessions."""
        if changed := changed_calendars() & names:
            with self._warehouse.connection() as connection:
                apply_calendars(connection, self._warehouse, sorted(changed))

    def _ingest_group(
        self, run: _Run, name: str, partitions: Sequence[Partition], emit: Emit[PartitionResult | Progress]
    ) -> None:
        """Ingest the partitions of one provider; whatever is wrong with it is a result."""
        remaining = {partition.key: partition for partition in partitions}
        since = run.options.replay_since
        try:
            if since is not None:
                results = self._replay_since(since, name, partitions, run.providers.limits(name))
            else:
                provider = run.make(name, partitions, self._warehouse)
                results = self.ingest(
                    provider, partitions, refresh=run.options.refresh, retract=run.options.retract, on_progress=emit
                )
            with closing(results):
                for result in results:
                    remaining.pop(result.partition.key, None)
                    emit(result)
        except StoreError:
            raise
        except ChandleryError as error:
            for partition in remaining.values():
                emit(PartitionResult(partition, "failed", error=error))

    def ingest(
        self,
        provider: Provider,
        partitions: Sequence[Partition],
        *,
        refresh: bool = False,
        retract: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Generator[PartitionResult]:
        """Ingest ``partitions`` from ``provider`` and yield what became of each, batch by batch.

        A symbol that the provider does not know, or a request that it does not answer, fails alone. Answers of a remote
        provider land before they are processed; sessions that are final are not requested again.

        Args:
            provider: that is called.
            partitions: of one timeframe, in any order, not overlapping.
            refresh: request everything, also what is final.
            retract: end the bars that a person's files held before and hold no longer.
            on_progress: called after each answer of a remote provider.

        Raises:
            ProviderAuthError: the provider's key is refused. ``LakeError``: the landing zone cannot be used.
        """
        yield from (PartitionResult(partition, "unlisted") for partition in partitions if partition.is_unlisted)
        partitions = [partition for partition in partitions if not partition.is_unlisted]
        if not partitions:
            return
        timeframe = partitions[0].timeframe
        processor = self._processor(provider.name, provider.limits, timeframe, retract=retract)
        if self._landing is None or not provider.limits.remote:
            for request in plan_requests(partitions, provider.limits):
                yield from self._process(processor, [fetch_answer(provider, request, self._now)])
            return
        with self._landing.writer() as writer:
            requested = {partition.key for partition in partitions}
            reported = set()
            for landed in self._landing.unprocessed(provider.name, timeframe):
                for result in self._process(processor, [self._landing.unpack(landed, self._instruments)]):
                    if result.partition.key in requested:
                        reported.add(result.partition.key)
                        yield result
            if not refresh:
                with self._warehouse.connection() as connection:
                    partitions, complete = open_partitions(connection, partitions)
                yield from (PartitionResult(each, "complete") for each in complete if each.key not in reported)
            requests = list(plan_requests(partitions, provider.limits))
            answers = fetch_answers(provider, requests, self._landing, writer, on_progress=on_progress, now=self._now)
            for batch in self._batches(answers):
                yield from self._process(processor, batch)

    def replay(
        self,
        landed: Sequence[LandedAnswer],
        limits: ProviderLimits,
        within: Mapping[str, tuple[datetime, datetime]] | None = None,
    ) -> Generator[PartitionResult]:
        """Process landed answers again, for example because a rule changed. The provider is not called.

        Of a range that landed more than once, the latest answer counts; others would look like restatements.

        Args:
            landed: of one provider and timeframe, newest first, as ``Landing.find`` returns them.
            limits: of the provider.
            within: half-open range, UTC, by symbol: only these are replayed; all by default.

        Yields:
            What became of each partition's part of each answer.

        Raises:
            LakeError: a file is missing or damaged; names it.
        """
        if not landed or self._landing is None:
            return
        processor = self._processor(landed[0].provider, limits, Timeframe(landed[0].timeframe))
        for part in newest_parts(landed, within):
            yield from self._process(processor, [self._landing.unpack(part, self._instruments)])

    def _replay_since(
        self, since: datetime, provider: str, partitions: Sequence[Partition], limits: ProviderLimits
    ) -> Generator[PartitionResult]:
        within: dict[str, tuple[datetime, datetime]] = {}
        for partition in partitions:
            start, end = within.get(partition.symbol, (partition.start, partition.end))
            within[partition.symbol] = min(start, partition.start), max(end, partition.end)
        landed = self._landing.find(provider, partitions[0].timeframe, since) if self._landing else []
        return self.replay(landed, limits, within)

    def _process(self, processor: BatchProcessor, answers: Sequence[ProviderAnswer]) -> list[PartitionResult]:
        """Process answers, those of one provider at a time: side by side they would wait for each other anyway."""
        with self._processing:
            return processor.process(answers)

    def _processor(
        self, provider: str, limits: ProviderLimits, timeframe: Timeframe, *, retract: bool = False
    ) -> BatchProcessor:
        return BatchProcessor(
            self._warehouse,
            self._gate,
            provider,
            limits,
            timeframe,
            run_id=self._run_id,
            retract=retract,
            now=self._now,
        )

    def _batches(self, answers: Iterator[list[ProviderAnswer]]) -> Iterator[list[ProviderAnswer]]:
        """Yield the answers that came together, in batches of about ``rows_per_batch``."""
        for arrived in answers:
            batch: list[ProviderAnswer] = []
            rows = 0
            for answer in arrived:
                rows += answer.bars.num_rows
                if batch and rows > self._limits.rows_per_batch:
                    yield batch
                    batch, rows = [], answer.bars.num_rows
                batch.append(answer)
            yield batch
