"""The way of bars from providers into the store: fetch, land, audit, quarantine or publish, batch by batch.

Whoever ingests goes through ``IngestPipeline``: the assets, and with them the command line and the schedules, and
tests. What a batch published stays published whatever happens to the next. Not here: what runs when (``pipelines``),
and what one batch goes through (``validate``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from chandlery.ingest.answer import ProviderAnswer
from chandlery.ingest.fetch import Progress, fetch_answer, fetch_answers
from chandlery.ingest.gate import Gate
from chandlery.ingest.landing import LandedAnswer, Landing, newest_parts
from chandlery.ingest.plan import IngestOptions, open_partitions, plan_requests
from chandlery.ingest.validate import BatchProcessor, PartitionResult
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

    def run(
        self,
        partitions: Sequence[Partition],
        providers: ConfiguredProviders,
        options: IngestOptions = IngestOptions(),  # noqa: B008 - frozen
        *,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Iterator[PartitionResult]:
        """Ingest ``partitions``, each from its instrument's provider, or the one in ``options``.

        Args:
            partitions: of one timeframe, in any order, not overlapping.
            providers: that are configured.
            options: what this run chooses.
            on_progress: called after each answer of a remote provider.

        Yields:
            What became of each partition, provider by provider in the order of their names.

        Raises:
            ConfigurationError: a provider or its options are wrong.
            ProviderAuthError: a provider's key is missing or refused; nothing later would succeed either.
            LakeError: the landing zone cannot be written to or read.
        """
        by_provider: dict[str, list[Partition]] = defaultdict(list)
        for partition in partitions:
            by_provider[options.provider or self._instruments[partition.symbol].provider].append(partition)
        for name, group in sorted(by_provider.items()):
            if options.replay_since is not None:
                yield from self._replay_since(options.replay_since, name, group, providers.limits(name))
                continue
            calendars = {partition.symbol: partition.calendar for partition in group}
            provider = providers.build(name, options=options.provider_options, calendars=calendars)
            yield from self.ingest(provider, group, refresh=options.refresh, on_progress=on_progress)

    def ingest(
        self,
        provider: Provider,
        partitions: Sequence[Partition],
        *,
        refresh: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Iterator[PartitionResult]:
        """Ingest ``partitions`` from ``provider`` and yield what became of each, batch by batch.

        A symbol that the provider does not know, or a request that it does not answer, fails alone. Running again
        changes nothing that is unchanged. Answers of a remote provider are landed before they are processed; those of
        a run that died are processed first, and sessions that are final are not requested again.

        Args:
            provider: that is called.
            partitions: of one timeframe, in any order, not overlapping.
            refresh: request everything, also what is final.
            on_progress: called after each answer of a remote provider.

        Raises:
            ProviderAuthError: the provider's key is refused; nothing later would succeed either.
            LakeError: the landing zone cannot be written to or read.
        """
        if not partitions:
            return
        timeframe = partitions[0].timeframe
        processor = self._processor(provider.name, provider.limits, timeframe)
        if self._landing is None or not provider.limits.remote:
            for request in plan_requests(partitions, provider.limits):
                yield from processor.process([fetch_answer(provider, request, self._now)])
            return
        with self._landing.writer() as writer:
            requested = {partition.key for partition in partitions}
            reported = set()
            for landed in self._landing.unprocessed(provider.name, timeframe):
                for result in processor.process([self._landing.unpack(landed, self._instruments)]):
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
                yield from processor.process(batch)

    def replay(
        self,
        landed: Sequence[LandedAnswer],
        limits: ProviderLimits,
        within: Mapping[str, tuple[datetime, datetime]] | None = None,
    ) -> Iterator[PartitionResult]:
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
            yield from processor.process([self._landing.unpack(part, self._instruments)])

    def _replay_since(
        self, since: datetime, provider: str, partitions: Sequence[Partition], limits: ProviderLimits
    ) -> Iterator[PartitionResult]:
        within: dict[str, tuple[datetime, datetime]] = {}
        for partition in partitions:
            start, end = within.get(partition.symbol, (partition.start, partition.end))
            within[partition.symbol] = min(start, partition.start), max(end, partition.end)
        landed = self._landing.find(provider, partitions[0].timeframe, since) if self._landing else []
        return self.replay(landed, limits, within)

    def _processor(self, provider: str, limits: ProviderLimits, timeframe: Timeframe) -> BatchProcessor:
        return BatchProcessor(
            self._warehouse, self._gate, provider, limits, timeframe, run_id=self._run_id, now=self._now
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
