"""The coverage assets: what is stored of each symbol and why the rest is missing, kept up to date by automation.

Not here: how coverage is counted (``chandlery.coverage.summary``), and what the states mean
(``chandlery.coverage.session_states``).
"""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from assets.metadata import picture
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.known_range import newest_year
from chandlery.coverage.session_states import State, count_states, state_runs
from chandlery.coverage.state_grid import build_state_matrix
from chandlery.coverage.summary import Summary, summarize
from chandlery.instruments.registry import Instrument, list_instruments
from chandlery.pictures.heatmap import heatmap_png
from chandlery.tiers.warehouse import Warehouse
from resources.store import StoreResource

#: How many symbols the record of a run shows: nobody reads more in a browser. The command line shows all.
_SYMBOLS_SHOWN = 60


def coverage_name(base: Timeframe) -> str:
    """Return the name of the asset that holds the coverage of ``base``."""
    return f"coverage_{base.value}"


def build_coverage(base: Timeframe) -> dg.AssetsDefinition:
    """Return the coverage of an ingested timeframe, all symbols together."""

    @dg.asset(
        name=coverage_name(base),
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
        with store.warehouse.connection() as connection:
            instruments = list_instruments(connection)
            summaries = summarize(connection, instruments, [base], static=store.installation.static)
        states = describe_states(store.warehouse, instruments, base, static=store.installation.static)
        metadata = _totals(summaries) | states
        if summaries:
            metadata["symbols"] = dg.MetadataValue.table([_record(summary) for summary in summaries[:_SYMBOLS_SHOWN]])
        return dg.MaterializeResult(metadata=metadata)

    return coverage


def describe_states(
    warehouse: Warehouse,
    instruments: Sequence[Instrument],
    base: Timeframe,
    *,
    static: Collection[str] = (),
    symbols_shown: int = _SYMBOLS_SHOWN,
) -> dict[str, Any]:
    """Return how many sessions of the newest year are in each state, and a picture of the first symbols' sessions.

    Args:
        warehouse: where the bars are.
        instruments: which.
        base: ``1m`` or ``1d``.
        static: providers whose data never changes.
        symbols_shown: how many rows the picture has at most.

    Returns:
        Metadata of a materialization; empty where nothing is known.
    """
    with warehouse.connection() as connection:
        span = newest_year(connection, instruments, base)
        if span is None:
            return {}
        counts = count_states(connection, instruments, base, *span, static=static)
        shown = [instrument for instrument in instruments if instrument.symbol in counts][:symbols_shown]
        runs = state_runs(connection, shown, base, *span, static=static)
        matrix = build_state_matrix(connection, shown, runs)
    if matrix is None:
        return {}
    total = {state: sum(states.get(state, 0) for states in counts.values()) for state in State}
    omitted = f"; {len(counts) - len(shown):,} more are not shown" if len(counts) > len(shown) else ""
    what = f"{span[0]} to {span[1] - timedelta(days=1)}, {len(shown)} of {len(counts):,} symbols{omitted}"
    return {
        "states": dg.MetadataValue.table(
            [dg.TableRecord({"state": state.value, "sessions": count}) for state, count in total.items() if count]
        ),
        "shown": f"states from {what}; `chandlery coverage --picture FILE.png` draws all",
        "map": picture(heatmap_png(matrix, title=f"{base.value}: states of sessions", width_px=720), "coverage"),
    }


def _totals(summaries: Sequence[Summary]) -> dict[str, Any]:
    expected = sum(summary.expected or 0 for summary in summaries)
    present = sum(summary.present or 0 for summary in summaries)
    return {
        "dagster/row_count": sum(summary.rows for summary in summaries),
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
            "stale since": "" if summary.stale_since is None else f"{summary.stale_since:%Y-%m-%d %H:%M}Z",
            "source": ", ".join(summary.sources),
        }
    )
