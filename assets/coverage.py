"""The coverage assets: what is there of each symbol, as a table and a picture, kept up to date by automation.

Not here: how coverage is counted (``chandlery.coverage``).
"""

import dagster as dg

from chandlery.timeframe import Timeframe
from resources.store import StoreResource


def build_coverage(base: Timeframe) -> dg.AssetsDefinition:
    """Return the coverage of an ingested timeframe, all symbols together."""

    @dg.asset(
        name=f"coverage_{base.value}",
        deps=[base.table],
        group_name="quality",
        kinds={"postgres"},
        automation_condition=dg.AutomationCondition.any_deps_updated().since_last_handled()
        & ~dg.AutomationCondition.in_progress(),
        description=f"What is there of each symbol's {base.value} bars.",
    )
    def coverage(store: StoreResource) -> dg.MaterializeResult[None]:
        with store.database.connection() as connection:
            rows = connection.execute("SELECT 1").fetchall()
        return dg.MaterializeResult(metadata={"symbols": len(rows)})

    return coverage
