"""What a run of ingestion shows in Dagster: events, lines in its log, and a failure at the end where something failed.

Not here: what an event's metadata holds (``assets.metadata``).
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TypeAlias

import dagster as dg

from assets.checks import GOOD, evaluate_findings, evaluate_gate, evaluate_partitions
from assets.metadata import ingest_metadata
from assets.quarantine import materialize_quarantine
from assets.tags import run_tags
from assets.versions import version_tag
from chandlery.app.orchestrator import Listener
from chandlery.bars.recorded_windows import newest_changes
from chandlery.core.partition import Partition
from chandlery.core.text import counted
from chandlery.core.timeframe import Timeframe
from chandlery.ingest.fetch import Progress, describe_calls
from chandlery.ingest.plan import KeySelection
from chandlery.ingest.result import PartitionResult, list_names
from chandlery.tiers.warehouse import Warehouse

IngestEvent: TypeAlias = dg.AssetMaterialization | dg.AssetCheckEvaluation

#: What is said of a partition in which there is nothing to do.
_NOTHING = {"empty": "the provider has nothing", "unlisted": "not requested, because it was not listed then"}
#: Each line of a run's log is a row in Dagster's storage.
_SECONDS_BETWEEN_LINES = 10.0


class IngestEvents:
    """Turns the results of one run into events.

    Args:
        context: of the step.
        timeframe: of the bars.
        listener: that hears of everything first.
        warehouse: whose quarantine and changes are looked at.
        partitions: all that the run ingests.
    """

    def __init__(
        self,
        context: dg.AssetExecutionContext | dg.OpExecutionContext,
        timeframe: Timeframe,
        listener: Listener,
        warehouse: Warehouse,
        partitions: Sequence[Partition],
    ) -> None:
        self._context = context
        self._timeframe = timeframe
        self._partitions = partitions
        self._listener = listener
        self._warehouse = warehouse
        self._earlier = _earlier(warehouse, partitions)
        self._failures: list[PartitionResult] = []
        self._quarantined = self._published = False
        self._logged: set[str] = set()
        self._unregistered = ""
        self._last_line: dict[str, float] = {}
        listener.planned(len(partitions))

    def tag_run(self, partitions: Sequence[Partition], providers: Iterable[str | None]) -> None:
        """Tag the run with what it is for, however it was launched, so that runs can be searched by it.

        Args:
            partitions: all that the run ingests.
            providers: names of those that it asks.
        """
        symbols = list(dict.fromkeys(partition.symbol for partition in partitions))
        tags = run_tags(self._timeframe, symbols, providers)
        self._context.instance.add_run_tags(self._context.run.run_id, tags)

    def introduce(self, keys: KeySelection, providers: Iterable[str | None]) -> None:
        """Tag the run, and say which symbols of its partitions are left alone; remember those that it cannot ingest.

        Args:
            keys: which of the run's partitions are ingested.
            providers: names of those that it asks.
        """
        if keys.strangers:
            names = list_names(keys.strangers)
            self._context.log.info(f"left alone, because the run is not for them: {names}")
        if keys.unregistered:
            self._unregistered = list_names(keys.unregistered)
            self._context.log.error(f"not registered: {self._unregistered}; run `chandlery init`")
        self.tag_run(self._partitions, providers)

    def progress(self, progress: Progress) -> None:
        """Hand progress to the listener, and now and then to the run's log."""
        self._listener.fetched(progress)
        last_line = self._last_line.get(progress.provider, 0.0)
        if progress.answered == progress.planned or time.monotonic() - last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line[progress.provider] = time.monotonic()
            self._context.log.info(
                f"{progress.provider}: {describe_calls(progress)}, {counted(progress.rows, 'bar')} so far"
            )

    def of(self, result: PartitionResult) -> Iterator[IngestEvent]:
        """Yield the events of one partition: what the gate's check says of it and, if it passed, a materialization."""
        self._listener.ingested(result)
        partition = result.partition
        if result.status in _NOTHING:  # nothing to audit, nothing to materialize; coverage and repair know
            self._log_nothing(result)
            if result.status == "empty":  # what was wrong before is no longer there
                yield evaluate_gate(result)
            return
        yield evaluate_gate(result)
        self._quarantined |= result.quarantine_id is not None
        if result.status in GOOD:
            self._published = True
            changed_at = result.known_at or self._earlier.get(partition.key)
            metadata = ingest_metadata(result, changed_at)
            yield dg.AssetMaterialization(
                self._timeframe.table, partition=partition.key, metadata=metadata, tags=version_tag(changed_at)
            )
        else:
            self._failures.append(result)
            self._log_trouble(result)

    def at_the_end(self) -> Iterator[IngestEvent]:
        """Yield what is to be said of all partitions together; then fail the step where one did not come through.

        Raises:
            dagster.Failure: names each symbol of which a partition failed or was rejected; nothing is tried again.
        """
        if self._quarantined:
            yield materialize_quarantine(self._warehouse)
        yield evaluate_findings(self._warehouse, self._timeframe)
        yield evaluate_partitions(self._context.instance, self._warehouse, self._timeframe)
        self._raise_failures()

    def _raise_failures(self) -> None:
        parts = [_summary(self._failures, others=self._published)] if self._failures else []
        if self._unregistered:
            parts.append(f"not registered: {self._unregistered}; run `chandlery init`")
        if parts:
            raise dg.Failure("\n".join(parts), allow_retries=False)

    def _log_nothing(self, result: PartitionResult) -> None:
        """Log that there was nothing to do; once for a symbol where it was not listed, which may be of many windows."""
        if result.status == "unlisted":
            once = f"{result.partition.symbol} was not listed"
            if once in self._logged:
                return
            self._logged.add(once)
        self._context.log.info(f"{result.partition.key}: {_NOTHING[result.status]}")

    def _log_trouble(self, result: PartitionResult) -> None:
        """Log what is wrong, once where it is the same of many partitions, as with a provider that cannot be used."""
        trouble = _trouble(result)
        if trouble not in self._logged:
            self._logged.add(trouble)
            self._context.log.error(f"{result.partition.key} {trouble}")


def _earlier(warehouse: Warehouse, partitions: Sequence[Partition]) -> dict[str, datetime]:
    """Return when each partition had changed last as the run began, UTC, by key."""
    if not partitions:
        return {}
    with warehouse.connection() as connection:
        keys = {partition.key for partition in partitions}
        return newest_changes(connection, partitions[0].timeframe, keys)


def _trouble(result: PartitionResult) -> str:
    if result.verdict is None:
        return f"was not delivered: {result.error}"
    return f"was rejected ({result.verdict.reason}); it waits as entry {result.quarantine_id} in quarantine"


def _summary(failures: Sequence[PartitionResult], *, others: bool) -> str:
    """Name every symbol of ``failures`` once, with its first reason; those with one reason share a line."""
    by_symbol: dict[str, list[PartitionResult]] = defaultdict(list)
    for result in failures:
        by_symbol[result.partition.symbol].append(result)
    by_trouble: dict[str, list[str]] = defaultdict(list)
    for symbol, results in by_symbol.items():
        by_trouble[_trouble(results[0])].append(symbol)
    lines = []
    for trouble, symbols in by_trouble.items():
        first = by_symbol[symbols[0]][0]
        hidden = sum(len(by_symbol[symbol]) for symbol in symbols) - 1
        more = f" and {hidden} more" if hidden else ""
        lines.append(f"{list_names(symbols)}: {first.partition.window.key}{more} {trouble}")
    count = counted(len(by_symbol), "symbol")
    said = f"{count} did not come through{'; the others are published' if others else ''}.\n"
    return said + "\n".join(lines)
