"""The coverage assets: what is there of each symbol, as a table and a picture, kept up to date by automation.

Not here: how coverage is counted (``chandlery.coverage``).
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from assets.metadata import picture
from chandlery.charts import coverage_png
from chandlery.coverage import Summary, monthly_coverage, summarize
from chandlery.instruments import list_instruments
from chandlery.timeframe import Timeframe
from resources.store import StoreResource

#: More rows than anyone reads in a browser; the command line shows all.
_SHOWN = 60


def build_coverage(base: Timeframe) -> dg.AssetsDefinition:
    """Return the coverage of an ingested timeframe, all symbols together."""

    @dg.asset(
        name=f"coverage_{base.value}",
        deps=[base.table],
        group_name="quality",
        kinds={"postgres"},
        automation_condition=(
            dg.AutomationCondition.missing() | dg.AutomationCondition.any_deps_updated()
        ).since_last_handled()
        & ~dg.AutomationCondition.in_progress(),
        description=f"What is there of each symbol's {base.value} bars.",
    )
    def coverage(store: StoreResource) -> dg.MaterializeResult[None]:
        with store.database.connection() as connection:
            instruments = list_instruments(connection)
            summaries = summarize(connection, instruments, [base])
            held = {summary.symbol for summary in summaries}
            shown = [instrument for instrument in instruments if instrument.symbol in held][:_SHOWN]
            months = monthly_coverage(connection, shown, base)
        metadata = _totals(summaries)
        if months.num_rows:
            metadata["map"] = picture(
                coverage_png(months, title=f"{base.value}: share of sessions present"), "coverage"
            )
            metadata["symbols"] = dg.MetadataValue.table([_record(summary) for summary in summaries[:_SHOWN]])
        return dg.MaterializeResult(metadata=metadata)

    return coverage


def _totals(summaries: Sequence[Summary]) -> dict[str, Any]:
    expected = sum(summary.expected or 0 for summary in summaries)
    present = sum(summary.present or 0 for summary in summaries)
    return {
        "covered": len(summaries),
        "bars": sum(summary.rows for summary in summaries),
        "sessions": f"{present:,} of {expected:,}",
        "sessions missing": expected - present,
    }


def _record(summary: Summary) -> dg.TableRecord:
    return dg.TableRecord(
        {
            "symbol": summary.symbol,
            "bars": summary.rows,
            "first": f"{summary.first_ts:%Y-%m-%d}",
            "last": f"{summary.last_ts:%Y-%m-%d}",
            "sessions": f"{summary.present} of {summary.expected}",
            "source": ", ".join(summary.sources),
        }
    )
