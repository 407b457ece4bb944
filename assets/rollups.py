"""The derived bars: ``bars_5m`` .. ``bars_4h`` from ``bars_1m``, ``bars_1w`` and ``bars_1mo`` from ``bars_1d``.

All that derive from one base are computed together, from one read of it. A run computes what is stale in its partitions
and nothing else. Not here: the arithmetic (``chandlery.rollup``), and what notices staleness (``pipelines.sensors``).
"""

from collections import Counter, defaultdict
from collections.abc import Iterator

import dagster as dg
import numpy as np

from assets.metadata import derived_metadata
from assets.plan import split_keys
from chandlery.derive import Derived, catch_up
from chandlery.instruments import list_instruments
from chandlery.orchestrator import Listener
from chandlery.timeframe import Timeframe, derived_from
from resources.store import StoreResource

#: Tag of a run that follows what is stale: its partitions are a convenient rectangle, not a person's choice, and only
#: those that changed count as materialized.
ONLY_STALE = "chandlery/only_stale"


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
        wanted = split_keys(context.partition_keys, base)
        symbols = {symbol for symbol, _ in wanted}
        with store.database.connection() as connection:
            instruments = [found for found in list_instruments(connection) if found.symbol in symbols]
        start, end = min(window.start for _, window in wanted), max(window.end for _, window in wanted)
        counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for derived in catch_up(store.database, base, instruments, start, end):
            listener.derived(derived)
            _tally(derived, counts)
        for key in context.partition_keys:
            for timeframe in derived_from(base):
                changed = counts[timeframe.value, key]
                if not changed and ONLY_STALE in context.run.tags:
                    continue
                metadata = derived_metadata(changed)
                yield dg.AssetMaterialization(timeframe.table, partition=key, metadata=metadata)

    return rollups


def _tally(derived: Derived, counts: dict[tuple[str, str], Counter[str]]) -> None:
    """Add a step's changes to the counts of each (timeframe, partition key)."""
    changes = derived.report.changes
    unit = "M" if derived.timeframe.window_kind == "month" else "Y"
    windows = changes.ts.astype(f"datetime64[{unit}]")
    for revised, kind in ((False, "inserted"), (True, "revised")):
        mine = changes.revised == revised
        keys = changes.instrument_id[mine].astype(np.int64) << 32 | windows[mine].astype(np.int64)
        for key, number in zip(*np.unique(keys, return_counts=True), strict=True):
            window = np.array(int(key) & 0xFFFFFFFF).astype(windows.dtype)
            counts[derived.timeframe.value, f"{derived.names[int(key) >> 32]}|{window}"][kind] += int(number)
