"""The check whether bars are up to date: by the newest bar of each symbol, whenever anything was materialized.

It is one of coverage, which changes with the bars. The sensor ``freshness`` evaluates it also while nothing runs. Not
here: when a symbol is behind (``chandlery.coverage.freshness``).
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from assets.coverage import coverage_name
from chandlery.app.installation import Installation
from chandlery.core.text import counted, plural
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.freshness import Behind, find_behind
from chandlery.ingest.result import list_names
from resources.store import StoreResource

UP_TO_DATE = "up_to_date"
#: A symbol that lacks more sessions than this is an error, otherwise a warning: a weekend's delay is none.
_LATE_SESSIONS = 3
#: More lines than anyone reads in a browser.
_SHOWN = 50
_SCHEMA = dg.TableSchema(
    columns=[
        dg.TableColumn("symbol", "string"),
        dg.TableColumn("newest bar", "string"),
        dg.TableColumn("behind since", "string"),
        dg.TableColumn("sessions", "int"),
    ]
)


def build_freshness(timeframe: Timeframe) -> dg.AssetChecksDefinition:
    """Return the check of the bars of ``timeframe``."""

    @dg.asset_check(
        asset=_asset(timeframe),
        name=UP_TO_DATE,
        description="Each symbol whose provider has news has a bar of the last session that closed two hours ago or"
        " earlier. By the time of the bars, not of the materialization; names the symbols that are behind and since"
        f" when. A warning up to {_LATE_SESSIONS} sessions.",
    )
    def up_to_date(store: StoreResource) -> dg.AssetCheckResult:
        found = evaluate_freshness(store.installation, timeframe, datetime.now(UTC))
        return dg.AssetCheckResult(
            passed=found.passed, severity=found.severity, description=found.description, metadata=found.metadata
        )

    return up_to_date


def evaluate_freshness(installation: Installation, timeframe: Timeframe, now: datetime) -> dg.AssetCheckEvaluation:
    """Return which symbols are behind.

    Args:
        installation: whose instruments are kept up to date.
        timeframe: ``1m`` or ``1d``.
        now: the present, UTC.
    """
    expected = installation.scheduled_instruments(timeframe)
    with installation.warehouse.connection() as connection:
        behind = find_behind(connection, expected, timeframe, now=now)
    late = any(each.sessions > _LATE_SESSIONS or each.newest is None for each in behind)
    metadata: dict[str, int | dg.TableMetadataValue] = {"symbols": len(expected), "symbols behind": len(behind)}
    if behind:
        metadata["behind"] = dg.MetadataValue.table([_record(each) for each in behind[:_SHOWN]], schema=_SCHEMA)
    return dg.AssetCheckEvaluation(
        asset_key=_asset(timeframe),
        check_name=UP_TO_DATE,
        passed=not behind,
        severity=dg.AssetCheckSeverity.ERROR if late else dg.AssetCheckSeverity.WARN,
        description=_describe(behind, len(expected)),
        metadata=metadata,
    )


def _asset(timeframe: Timeframe) -> dg.AssetKey:
    return dg.AssetKey(coverage_name(timeframe))


def _describe(behind: Sequence[Behind], expected: int) -> str:
    if not expected:
        return "no symbol has a provider with news"
    if not behind:
        what = counted(expected, "symbol that is kept up to date has", "symbols that are kept up to date have")
        return f"{what} the last session"
    since = min(each.since for each in behind)
    names = list_names([each.symbol for each in behind])
    what = f"{len(behind)} of {counted(expected, 'symbol')} {plural(len(behind), 'is', 'are')} behind"
    return f"{what}, since {since:%Y-%m-%d %H:%M}Z at the earliest: {names}"


def _record(behind: Behind) -> dg.TableRecord:
    return dg.TableRecord(
        {
            "symbol": behind.symbol,
            "newest bar": f"{behind.newest:%Y-%m-%d %H:%M}Z" if behind.newest else "none",
            "behind since": f"{behind.since:%Y-%m-%d %H:%M}Z",
            "sessions": behind.sessions,
        }
    )
