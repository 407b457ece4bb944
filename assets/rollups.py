"""The derived bars: ``bars_5m`` .. ``bars_4h`` from ``bars_1m``, ``bars_1w`` and ``bars_1mo`` from ``bars_1d``.

Minutes also fill days that no provider gives. ``bars_1d`` is not an asset of these runs, because providers fill it,
after the gate: its partitions are recorded as well, and say that they were rolled up; there is no evaluation of the
gate.

All that derive from one base are computed together, from one read of it. A run computes what is stale and nothing
else. Not here: the arithmetic (``chandlery.rollup``), and what notices staleness (``pipelines.sensors``).
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TypeAlias

import dagster as dg

from assets.metadata import derived_metadata
from assets.versions import version_tag
from chandlery.app.orchestrator import Listener
from chandlery.bars.recorded_windows import newest_changes
from chandlery.core.timeframe import Timeframe, derived_from
from chandlery.core.windows import EVER
from chandlery.errors import LakeError
from chandlery.ingest.plan import parse_keys
from chandlery.instruments.registry import list_instruments
from chandlery.rollups.refresh import Derived, catch_up
from chandlery.tiers.warehouse import Warehouse
from resources.store import StoreResource

#: What changed, by timeframe and partition key: how many bars were ``inserted``, and how many ``revised``.
Changes: TypeAlias = defaultdict[tuple[Timeframe, str], Counter[str]]


def build_rollups(base: Timeframe, partitions: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    """Return the assets of every timeframe derived from ``base``."""
    specs = [
        dg.AssetSpec(
            timeframe.table,
            deps=[base.table],
            partitions_def=partitions,
            group_name="rollups",
            kinds={"postgres"},
            skippable=True,
            description=f"{timeframe.value} bars, always equal to the recomputation from {base.value} bars.",
        )
        for timeframe in derived_from(base)
    ]

    @dg.multi_asset(
        name=f"rollups_of_{base.value}", specs=specs, can_subset=False, backfill_policy=dg.BackfillPolicy.single_run()
    )
    def rollups(
        context: dg.AssetExecutionContext, store: StoreResource, listener: dg.ResourceParam[Listener]
    ) -> Iterator[dg.AssetMaterialization]:
        requested = parse_keys(context.partition_keys, base)
        symbols = {symbol for symbol, _ in requested}
        start, end = min(window.start for _, window in requested), max(window.end for _, window in requested)
        changes: Changes = defaultdict(Counter)
        error = _derive(
            store.warehouse, base, listener, start, end, changes=changes, run_id=context.run.run_id, symbols=symbols
        )
        selected = {(timeframe, key): None for key in context.partition_keys for timeframe in derived_from(base)}
        others = [changed for changed in changes if changed not in selected]
        done = [each for each in selected if error is None or each in changes]
        yield from _materializations(store.warehouse, done, changes)
        for event in _materializations(store.warehouse, others, changes):
            context.log_event(event)
        _raise(error)

    return rollups


class FollowConfig(dg.Config):
    """What a run that derives may choose.

    Attributes:
        only_due: leave days that failed and wait for another try; otherwise they are tried at once.
    """

    only_due: bool = False


def follow_name(base: Timeframe) -> str:
    """Return the name of the op that derives whatever is stale of ``base``."""
    return f"derive_what_is_stale_of_{base.value}"


def build_follow(base: Timeframe) -> dg.OpDefinition:
    """Return the op that derives whatever is stale of ``base``, and records the partitions that changed.

    It is no asset's step: Dagster writes an event for each partition of such a step before it starts, which for a
    history of thousands of symbols and months takes longer than deriving it.
    """

    @dg.op(name=follow_name(base), out={}, tags={"kind": "postgres"})
    def follow(
        context: dg.OpExecutionContext,
        config: FollowConfig,
        store: StoreResource,
        listener: dg.ResourceParam[Listener],
    ) -> Iterator[dg.AssetMaterialization]:
        changes: Changes = defaultdict(Counter)
        error = _derive(
            store.warehouse, base, listener, *EVER, changes=changes, run_id=context.run.run_id, only_due=config.only_due
        )
        yield from _materializations(store.warehouse, list(changes), changes)
        _raise(error)

    return follow


def _derive(
    warehouse: Warehouse,
    base: Timeframe,
    listener: Listener,
    start: datetime,
    end: datetime,
    *,
    changes: Changes,
    run_id: str,
    only_due: bool = False,
    symbols: Collection[str] | None = None,
) -> LakeError | None:
    """Derive what is stale in ``[start, end)``, of these symbols or of all, and add to ``changes`` what changed.

    Returns:
        What kept some instruments from being derived, or None.
    """
    with warehouse.connection() as connection:
        instruments = [each for each in list_instruments(connection) if symbols is None or each.symbol in symbols]
    try:
        for derived in catch_up(warehouse, base, instruments, start, end, run_id=run_id, only_due=only_due):
            listener.derived(derived)
            _count(derived, changes)
    except LakeError as error:
        return error
    return None


def _raise(error: LakeError | None) -> None:
    """Fail the step, after what was derived is recorded; the sensor launches the rest again, after a pause."""
    if error is not None:
        raise dg.Failure(f"what could be derived is; the rest is tried again: {error}", allow_retries=False)


def derived_events(warehouse: Warehouse, steps: Iterable[Derived]) -> Iterator[dg.AssetMaterialization]:
    """Yield a materialization of every partition that changed in ``steps``."""
    changes: Changes = defaultdict(Counter)
    for derived in steps:
        _count(derived, changes)
    yield from _materializations(warehouse, list(changes), changes)


def _count(derived: Derived, changes: Changes) -> None:
    """Add to ``changes`` what a step changed."""
    for (instrument_id, window), (inserted, revised) in derived.report.changes.by_window(derived.timeframe).items():
        counts = changes[derived.timeframe, f"{derived.names[instrument_id]}|{window}"]
        counts.update(inserted=inserted, revised=revised)


def _materializations(
    warehouse: Warehouse, keys: Sequence[tuple[Timeframe, str]], changes: Changes
) -> Iterator[dg.AssetMaterialization]:
    """Yield a materialization of each partition, with its last change as its version."""
    newest: dict[tuple[Timeframe, str], datetime] = {}
    with warehouse.connection() as connection:
        for timeframe in {timeframe for timeframe, _ in keys}:
            found = newest_changes(connection, timeframe, {key for own, key in keys if own is timeframe})
            newest |= {(timeframe, key): changed for key, changed in found.items()}
    for timeframe, key in keys:
        changed_at = newest.get((timeframe, key))
        yield dg.AssetMaterialization(
            timeframe.table,
            partition=key,
            metadata=derived_metadata(timeframe, key, changes[timeframe, key], changed_at),
            tags=version_tag(changed_at),
        )
