"""The ingested bars, ``bars_1m`` and ``bars_1d``: fetched from providers, audited by the gate, published.

A partition is materialized only if the gate let it pass. One run takes one partition or a rectangle of thousands. Not
here: how ingestion works (``chandlery.ingest``), what a run shows of it (``assets.events``), and when it happens
(``pipelines``).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import dagster as dg
from pydantic import Field

from assets.checks import check_specs, evaluate_alone
from assets.choices import choices_of_run
from assets.events import IngestEvent, IngestEvents
from chandlery.app.orchestrator import Listener
from chandlery.core.moments import parse_moment
from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from chandlery.errors import UnknownSymbolError, UsageError
from chandlery.ingest.gate import Gate
from chandlery.ingest.pipeline import IngestPipeline
from chandlery.ingest.plan import IngestOptions, plan_partitions, select_keys
from chandlery.instruments.registry import Instrument, load_instruments
from resources.gate import GateResource
from resources.providers import ProvidersResource
from resources.store import StoreResource

_Partitions: TypeAlias = dg.PartitionsDefinition[str]
_GONE = "it was renamed or removed since the run was planned; ingest again under the symbol that it has now"


class IngestConfig(dg.Config):
    """What a run may choose; none of it has to be given."""

    symbols: list[str] | None = Field(
        default=None,
        description="Of the run's partitions, only those of these symbols; all by default.",
    )
    provider: str | None = Field(
        default=None, description="A name in providers.yaml; each instrument's own provider by default."
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the provider for this run, of those that a run may choose."
    )
    ranges: dict[str, list[str]] = Field(
        default_factory=dict,
        description="By symbol, [start, end] in ISO 8601, UTC, end exclusive: only that part of a window.",
    )
    max_rejected_share: float | None = Field(
        default=None,
        description="Largest share of bad rows, 0 to 1, with which the good rows of a partition are published; that of"
        " universe.yaml by default.",
    )
    refresh: bool = Field(
        default=False, description="Request from a remote provider also what is complete and final already."
    )
    replay_since: str | None = Field(
        default=None,
        description="Call no provider: process again the answers that landed since this instant, in ISO 8601, UTC.",
    )
    retract: bool = Field(
        default=False, description="End the bars that a person's files held before and hold no longer."
    )

    def ingest_options(self) -> IngestOptions:
        """Return what the run chooses, as the library has it."""
        since = parse_moment(self.replay_since, name="replay_since") if self.replay_since is not None else None
        return IngestOptions(self.provider, self.options, self.refresh, since, self.retract)

    def parsed_ranges(self) -> dict[str, tuple[datetime, datetime]]:
        """Return ``ranges`` as pairs of instants, UTC.

        Raises:
            UsageError: one of them is no range.
        """
        return {symbol: _parse_range(symbol, given) for symbol, given in self.ranges.items()}


def _parse_range(symbol: str, given: Sequence[str]) -> tuple[datetime, datetime]:
    if len(given) != 2:
        raise UsageError(f"ranges: {symbol}: {given} is not a range; write [start, end] in ISO 8601, UTC")
    start, end = (parse_moment(moment, name=f"ranges: {symbol}") for moment in given)
    if start >= end:
        raise UsageError(f"ranges: {symbol}: {given} is empty; the end, which is exclusive, has to be after the start")
    return start, end


def build_bars(timeframe: Timeframe, partitions: _Partitions, deps: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    """Return the asset of an ingested timeframe, downstream of ``deps``."""
    spec = _describe(timeframe, partitions, deps)

    @_gated_asset(spec, timeframe)
    def bars(  # noqa: PLR0917 - Dagster passes them by name
        context: dg.AssetExecutionContext,
        config: IngestConfig,
        store: StoreResource,
        providers: ProvidersResource,
        gate: GateResource,
        listener: dg.ResourceParam[Listener],
    ) -> Iterator[IngestEvent]:
        if spec.key not in context.selected_asset_keys:  # a check alone
            yield from evaluate_alone(context, store.warehouse, timeframe)
            return
        with choices_of_run(context):
            instruments = _registered(store)
            keys = select_keys(_partition_keys(context), instruments, config.symbols)
            planned = plan_partitions(keys.taken, timeframe, instruments, config.parsed_ranges())
            pipeline = _pipeline(context, store, gate.get(max_rejected_share=config.max_rejected_share), instruments)
            asked, options = providers.get(store.rate_limiters), config.ingest_options()
        events = IngestEvents(context, timeframe, listener, store.warehouse, planned)
        events.introduce(keys, _providers(planned, instruments, config.provider))
        for result in pipeline.run(planned, asked, options, on_progress=events.progress):
            yield from events.of(result)
        yield from events.at_the_end()
        _check_registered(config.ranges, instruments)

    return bars


def _pipeline(
    context: dg.AssetExecutionContext, store: StoreResource, gate: Gate, instruments: Mapping[str, Instrument]
) -> IngestPipeline:
    landing, run_id = store.installation.landing, context.run.run_id
    return IngestPipeline(store.warehouse, gate, instruments, landing=landing, run_id=run_id)


def _check_registered(symbols: Iterable[str], instruments: Mapping[str, Instrument]) -> None:
    """Raise where a symbol that a run was asked for names nothing now: somebody renamed or removed it meanwhile."""
    if gone := sorted(set(symbols) - instruments.keys()):
        raise UnknownSymbolError(f"{' '.join(gone)}: {_GONE}")


def _partition_keys(context: dg.AssetExecutionContext) -> Sequence[str]:
    try:
        return list(context.partition_keys)
    except dg.DagsterInvalidInvocationError:
        raise UnknownSymbolError(f"a symbol of this run: {_GONE}") from None


def _registered(store: StoreResource) -> dict[str, Instrument]:
    with store.warehouse.connection() as connection:
        return load_instruments(connection)


def _providers(
    partitions: Sequence[Partition], instruments: Mapping[str, Instrument], chosen: str | None
) -> set[str | None]:
    """Return the names of the providers of ``partitions``."""
    return {chosen} if chosen else {instruments[partition.symbol].provider for partition in partitions}


def _describe(timeframe: Timeframe, partitions: _Partitions, deps: Sequence[dg.AssetKey]) -> dg.AssetSpec:
    return dg.AssetSpec(
        timeframe.table,
        deps=deps,
        partitions_def=partitions,
        skippable=True,
        group_name="bars",
        kinds={"postgres"},
        description=f"{timeframe.value} bars as providers deliver them, audited before they are published.",
    )


def _gated_asset(spec: dg.AssetSpec, timeframe: Timeframe) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Return the decorator of an asset that yields its events itself, with the gate as one of its checks.

    It makes a multi-asset of one, because only that lets a step leave out the asset and its checks.
    """
    return dg.multi_asset(
        name=spec.key.to_python_identifier(),
        specs=[spec],
        check_specs=check_specs(timeframe),
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
