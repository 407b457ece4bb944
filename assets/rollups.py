"""The derived bars: ``bars_5m`` .. ``bars_4h`` from ``bars_1m``, ``bars_1w`` and ``bars_1mo`` from ``bars_1d``.

Minutes also fill days that no provider gives. ``bars_1d`` is not an asset of these runs, because providers fill it,
after the gate: its partitions are recorded as well, and say that they were rolled up; there is no evaluation of the
gate.

All that derive from one base are computed together, from one read of it. A run computes what is stale and nothing
else. Not here: the arithmetic (``chandlery.rollup``), and what notices staleness (``pipelines.sensors``).
"""

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class Change:
    """What deriving changed in a partition.

    Attributes:
        counts: how many bars were ``inserted``, and how many ``revised``.
        changed_at: when it had changed last, UTC; None where it has no bars.
    """

    counts: Counter[str] = field(default_factory=Counter)
    changed_at: datetime | None = None


#: What changed, by timeframe and partition key.
Changes: TypeAlias = dict[tuple[Timeframe, str], Change]


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
        steps = _derive(store.warehouse, base, listener, start, end, run_id=context.run.run_id, symbols=symbols)
        changes: Changes = {}
        failure: LakeError | None = None
        try:
            for finished in _finished(steps):
                changes |= finished
        except LakeError as error:
            failure = error
        selected = [(timeframe, key) for key in context.partition_keys for timeframe in derived_from(base)]
        if failure is None:
            changes = _unchanged(store.warehouse, selected) | changes
        yield from (_materialization(each, changes.pop(each)) for each in selected if each in changes)
        for each, change in changes.items():
            context.log_event(_materialization(each, change))
        _raise(failure)

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
        steps = _derive(store.warehouse, base, listener, *EVER, run_id=context.run.run_id, only_due=config.only_due)
        try:
            for finished in _finished(steps):
                yield from itertools.starmap(_materialization, finished.items())
        except LakeError as error:
            _raise(error)

    return follow


def _derive(
    warehouse: Warehouse,
    base: Timeframe,
    listener: Listener,
    start: datetime,
    end: datetime,
    *,
    run_id: str,
    only_due: bool = False,
    symbols: Collection[str] | None = None,
) -> Iterator[Derived]:
    """Derive what is stale in ``[start, end)``, of these symbols or of all, and yield each step.

    Raises:
        LakeError: what kept some instruments from being derived, after all others were.
    """
    with warehouse.connection() as connection:
        instruments = [each for each in list_instruments(connection) if symbols is None or each.symbol in symbols]
    for derived in catch_up(warehouse, base, instruments, start, end, run_id=run_id, only_due=only_due):
        listener.derived(derived)
        yield derived


def _raise(error: LakeError | None) -> None:
    """Fail the step, after what was derived is recorded; the sensor launches the rest again, after a pause."""
    if error is not None:
        raise dg.Failure(f"what could be derived is; the rest is tried again: {error}", allow_retries=False)


def derived_events(steps: Iterable[Derived]) -> Iterator[dg.AssetMaterialization]:
    """Yield a materialization of every partition that changed in ``steps``."""
    for finished in _finished(steps):
        yield from itertools.starmap(_materialization, finished.items())


def _finished(steps: Iterable[Derived]) -> Iterator[Changes]:
    """Yield what changed in partitions as soon as it is known: all steps of an instrument follow each other.

    While a step waits for the server, the events of those before it are stored.

    Raises:
        LakeError: from ``steps``, after all that changed was yielded.
    """
    changes: Changes = {}
    failure: LakeError | None = None
    try:
        for derived in steps:
            symbols = set(derived.names.values())
            done = [each for each in changes if each[1].rpartition("|")[0] not in symbols]
            yield {each: changes.pop(each) for each in done}
            _count(derived, changes)
    except LakeError as error:
        failure = error
    yield changes
    if failure is not None:
        raise failure


def _count(derived: Derived, changes: Changes) -> None:
    """Add to ``changes`` what a step changed."""
    for (instrument_id, window), (inserted, revised) in derived.report.changes.by_window(derived.timeframe).items():
        change = changes.setdefault((derived.timeframe, f"{derived.names[instrument_id]}|{window}"), Change())
        change.counts.update(inserted=inserted, revised=revised)
        change.changed_at = derived.report.known_at


def _unchanged(warehouse: Warehouse, keys: Collection[tuple[Timeframe, str]]) -> Changes:
    """Return for partitions that nothing changed when they had changed last."""
    found: Changes = {each: Change() for each in keys}
    with warehouse.connection() as connection:
        for timeframe in {timeframe for timeframe, _ in keys}:
            newest = newest_changes(connection, timeframe, {key for own, key in keys if own is timeframe})
            found |= {(timeframe, key): Change(changed_at=changed_at) for key, changed_at in newest.items()}
    return found


def _materialization(partition: tuple[Timeframe, str], change: Change) -> dg.AssetMaterialization:
    """Return the materialization of a partition, with its last change as its version."""
    timeframe, key = partition
    return dg.AssetMaterialization(
        timeframe.table,
        partition=key,
        metadata=derived_metadata(timeframe, key, change.counts, change.changed_at),
        tags=version_tag(change.changed_at),
    )
