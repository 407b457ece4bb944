"""The ingested bars, ``bars_1m`` and ``bars_1d``: asked for, judged by the gate, published.

A partition is materialized only if the gate let it pass. One run takes one partition or a rectangle of thousands.
Not here: how ingestion works (``chandlery.ingest``), and when it happens (``pipelines``).
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import dagster as dg
from pydantic import Field

from assets.metadata import check_metadata, ingest_metadata
from chandlery.app.installation import Installation
from chandlery.app.orchestrator import Listener
from chandlery.bars.read import BarRange
from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe, parse_moment
from chandlery.ingest.fetch import Progress, describe_calls
from chandlery.ingest.gate import Gate
from chandlery.ingest.pipeline import ingest, replay
from chandlery.ingest.plan import plan_partitions
from chandlery.ingest.validate import PartitionResult
from chandlery.instruments.registry import Instrument, list_instruments
from chandlery.providers.base import ProviderLimits
from chandlery.providers.catalog import remote_limits
from chandlery.reading.bars import read_bars
from chandlery.tiers.warehouse import Warehouse
from resources.gate import GateResource
from resources.providers import ProvidersResource
from resources.store import StoreResource

CHECK = "gate"
#: A picture takes longer to draw than a partition to publish; a run draws the newest window of so many symbols.
_PICTURES = 12
#: What became of a partition that is materialized.
_GOOD = frozenset({"published", "complete"})
#: Each line of a run's log is a row in Dagster's storage.
_SECONDS_BETWEEN_LINES = 10.0
#: A long weekend passes without news; more does not.
_FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=5), warn_window=timedelta(days=4))


class IngestConfig(dg.Config):
    """What a run may be told; nothing of it is needed.

    Attributes:
        provider: name in ``providers.yaml``; each instrument's own by default.
        options: override the provider's options.
        ranges: by symbol, ``[start, end]`` in ISO 8601: narrows a partition to part of its window; end exclusive.
        max_rejected_share: overrides the gate's limit, 0 to 1.
        refresh: ask a remote provider also for what is complete and final.
        replay_since: ask nobody; judge again what landed since then, in ISO 8601.
    """

    provider: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    ranges: dict[str, list[str]] = Field(default_factory=dict)
    max_rejected_share: float | None = None
    refresh: bool = False
    replay_since: str | None = None


def build_bars(
    timeframe: Timeframe, partitions: dg.PartitionsDefinition[str], deps: Sequence[dg.AssetKey]
) -> dg.AssetsDefinition:
    """Return the asset of an ingested timeframe, downstream of ``deps``."""
    key = dg.AssetKey(timeframe.table)

    # A multi-asset of one, because only that lets a step leave out the asset and its check where nothing passed.
    @dg.multi_asset(
        name=timeframe.table,
        specs=[
            dg.AssetSpec(
                key,
                deps=deps,
                partitions_def=partitions,
                skippable=True,
                group_name="bars",
                kinds={"postgres"},
                freshness_policy=_FRESHNESS,
                description=f"{timeframe.value} bars as providers deliver them, audited before they are published.",
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(CHECK, asset=key, blocking=True, description="Great Expectations, before publishing")
        ],
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def bars(  # noqa: PLR0917 - Dagster passes them by name
        context: dg.AssetExecutionContext,
        config: IngestConfig,
        store: StoreResource,
        providers: ProvidersResource,
        gate: GateResource,
        listener: dg.ResourceParam[Listener],
    ) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
        if key not in context.selected_asset_keys:
            raise dg.Failure(
                "the gate judges bars on their way in; materialize a partition instead", allow_retries=False
            )
        with store.warehouse.connection() as connection:
            instruments = {instrument.symbol: instrument for instrument in list_instruments(connection)}
        ranges = {symbol: _range(pair) for symbol, pair in config.ranges.items()}
        planned = plan_partitions(context.partition_keys, timeframe, instruments, ranges, datetime.now(UTC))
        calendars = {partition.symbol: partition.calendar for partition in planned}
        judge = gate.get(max_rejected_share=config.max_rejected_share)
        drawn = _newest(planned)
        troubles = []
        listener.planned(len(planned))
        for name, group in _by_provider(planned, instruments, config.provider):
            if config.replay_since is None:
                provider = providers.get(
                    name, options=config.options, calendars=calendars, rate_limiters=store.installation.rate_limiters
                )
                tell = _teller(context, listener, name)
                outcomes = ingest(
                    store.warehouse,
                    provider,
                    judge,
                    group,
                    landing=store.installation.landing,
                    refresh=config.refresh,
                    tell=tell,
                )
            else:
                outcomes = _replay(store.installation, judge, name, group, config.replay_since)
            for outcome in outcomes:
                listener.ingested(outcome)
                if outcome.status == "empty":  # nothing to judge, nothing to materialize; coverage and repair know
                    context.log.info(f"{outcome.partition.key}: {name} has nothing")
                    continue
                yield from _events(key, outcome, store.warehouse, instruments, drawn=outcome.partition in drawn)
                if outcome.status in {"rejected", "failed"}:
                    troubles.append(outcome)
                    context.log.error(f"{outcome.partition.key} {_trouble(outcome)}")
        if troubles:
            raise dg.Failure(_summary(troubles), allow_retries=False)

    return bars


def _replay(
    installation: Installation, gate: Gate, name: str, group: Sequence[Partition], since: str
) -> Iterator[PartitionResult]:
    within: dict[str, tuple[datetime, datetime]] = {}
    for partition in group:
        start, end = within.get(partition.symbol, (partition.start, partition.end))
        within[partition.symbol] = min(start, partition.start), max(end, partition.end)
    landed = installation.landing.find(name, group[0].timeframe, parse_moment(since, name="replay_since"))
    limits = remote_limits(installation.providers).get(name, ProviderLimits())
    return replay(installation.warehouse, installation.landing, gate, landed, limits=limits, within=within)


def _teller(context: dg.AssetExecutionContext, listener: Listener, name: str) -> Callable[[Progress], None]:
    """Return what hands progress to the listener, and now and then to the run's log."""
    said = 0.0

    def tell(progress: Progress) -> None:
        nonlocal said
        listener.fetched(progress)
        if progress.answered == progress.planned or time.monotonic() - said >= _SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            context.log.info(f"{name}: {describe_calls(progress)}, {progress.rows:,} bars so far")

    return tell


def _events(
    key: dg.AssetKey, outcome: PartitionResult, warehouse: Warehouse, instruments: dict[str, Instrument], *, drawn: bool
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
    partition = outcome.partition
    yield dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=CHECK,
        passed=outcome.status in _GOOD,
        metadata=check_metadata(outcome),
        partition=partition.key,
        blocking=True,
    )
    if outcome.status in _GOOD:
        stored = None
        if drawn:
            window = BarRange(instruments[partition.symbol].instrument_id, partition.window.start, partition.window.end)
            stored = read_bars(warehouse, partition.timeframe, [window])
        yield dg.AssetMaterialization(key, partition=partition.key, metadata=ingest_metadata(outcome, stored))


def _by_provider(
    planned: Sequence[Partition], instruments: dict[str, Instrument], override: str | None
) -> Iterator[tuple[str, list[Partition]]]:
    named = sorted(
        ((override or instruments[partition.symbol].provider, partition) for partition in planned), key=lambda x: x[0]
    )
    for name, group in groupby(named, key=lambda x: x[0]):
        yield name, [partition for _, partition in group]


def _newest(planned: Sequence[Partition]) -> frozenset[Partition]:
    """Return the newest partition with any time in it, of the first few symbols."""
    newest: dict[str, Partition] = {}
    for partition in planned:
        if partition.start < partition.end and partition.end > newest.get(partition.symbol, partition).start:
            newest[partition.symbol] = partition
    return frozenset(list(newest.values())[:_PICTURES])


def _range(pair: Sequence[str]) -> tuple[datetime, datetime]:
    start, end = pair
    return parse_moment(start, name="ranges"), parse_moment(end, name="ranges")


def _trouble(outcome: PartitionResult) -> str:
    if outcome.verdict is None:
        return f"was not delivered: {outcome.error}"
    return f"was rejected ({outcome.verdict.reason}); it waits as entry {outcome.quarantine_id} in quarantine"


def _summary(troubles: Sequence[PartitionResult]) -> str:
    """Name every symbol in trouble once, with its first reason."""
    by_symbol: dict[str, list[PartitionResult]] = defaultdict(list)
    for outcome in troubles:
        by_symbol[outcome.partition.symbol].append(outcome)
    lines = [
        f"{symbol}: {outcomes[0].partition.window.key}{f' and {len(outcomes) - 1} more' if len(outcomes) > 1 else ''} "
        f"{_trouble(outcomes[0])}"
        for symbol, outcomes in by_symbol.items()
    ]
    return f"{len(by_symbol)} of the symbols did not come through; the others are published.\n" + "\n".join(lines)
