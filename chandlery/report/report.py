"""A report of what is stored: one HTML file that opens anywhere, without a network.

Not here: how the page looks (``page``, ``templates``), and the data of its charts (``charts``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from chandlery.app.installation import Installation
from chandlery.core.optional import import_optional
from chandlery.core.schema import DERIVED, is_derived
from chandlery.core.text import write_number
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import EVER
from chandlery.coverage.summary import Summary, monthly_coverage, summarize
from chandlery.ingest.quarantine import count_waiting
from chandlery.ingest.result import PartitionResult
from chandlery.instruments.aliases import resolve
from chandlery.instruments.registry import Instrument
from chandlery.quality.findings import Finding, list_findings
from chandlery.report.charts import chart_data
from chandlery.report.months import MonthMap, map_months
from chandlery.report.page import render_page

_SIMULATED, _SAMPLE = "simulated", "sample"
_TEXT_COLUMNS = ("ts", "symbol", "source")
_MOST_ROWS = 12
_MOST_FINDINGS = 50


@dataclass(frozen=True, slots=True)
class ShownQuery:
    """A query, as shown in a report.

    Attributes:
        code: the query, in Python.
        rows: what it returned.
        seconds: how long it took.
    """

    code: str
    rows: pa.Table
    seconds: float


@dataclass(frozen=True, slots=True)
class _Series:
    """One instrument's bars of a timeframe that was ingested, and what is known about them."""

    instrument: Instrument
    summary: Summary

    @property
    def simulated(self) -> bool:
        return any(_provider(source) == _SIMULATED for source in self.summary.sources)


def write_report(
    installation: Installation,
    path: Path,
    symbols: Sequence[str],
    *,
    title: str = "What is in the chandlery",
    outcomes: Sequence[PartitionResult] = (),
    queries: Sequence[ShownQuery] = (),
    now: datetime | None = None,
) -> Path:
    """Write a report of ``symbols`` and return its path.

    Args:
        installation: the installation whose bars are shown.
        path: the file to write; its folder is made, and a file that is there is replaced.
        symbols: the symbols of the instruments to show; those without bars are left out.
        title: the title of the page.
        outcomes: results of partitions, for a summary of what the gate found.
        queries: queries to show.
        now: the present, UTC; the clock by default.

    Raises:
        ConfigurationError: Plotly is not installed.
        UnknownSymbolError: no instrument goes by one of the symbols.
    """
    plotly = import_optional("plotly.offline", extra="report", needed_by="a report")
    with installation.warehouse.connection() as connection:
        instruments = [resolve(connection, symbol, *EVER) for symbol in symbols]
        summaries = summarize(connection, instruments, static=installation.static)
        waiting = count_waiting(connection)
        found = list_findings(connection, instrument_ids=[each.instrument_id for each in instruments])
    series = _series(instruments, summaries)
    store = installation.warehouse
    charts = [chart_data(store, n, item.instrument, item.summary, summaries) for n, item in enumerate(series)]
    page = render_page(
        plotly=plotly.get_plotlyjs(),
        chart_data=charts,
        title=title,
        made_at=now or datetime.now(UTC),
        facts=_facts(series, summaries, found),
        origins=_origins(series),
        stored=_stored(series, summaries),
        queries=[_query(query) for query in queries],
        charts=[_chart(item, chart) for item, chart in zip(series, charts, strict=True)],
        coverage=_coverage(installation, series),
        gate=_gate(outcomes),
        waiting=waiting,
        findings=_findings(found),
    )
    return _write(path, page)


def _write(path: Path, page: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def _series(instruments: Sequence[Instrument], summaries: Sequence[Summary]) -> list[_Series]:
    by_symbol = {instrument.symbol: instrument for instrument in instruments}
    return [_Series(by_symbol[summary.symbol], summary) for summary in summaries if _was_ingested(summary)]


def _was_ingested(summary: Summary) -> bool:
    """Return whether a provider gave any of the bars; days may all have been rolled up from minutes."""
    return summary.timeframe.is_ingested and not all(is_derived(source) for source in summary.sources)


def _coverage(installation: Installation, series: Sequence[_Series]) -> list[tuple[str, MonthMap]]:
    """Return the map of months of every timeframe that was ingested."""
    maps = []
    with installation.warehouse.connection() as connection:
        for timeframe in (Timeframe.D1, Timeframe.M1):
            instruments = [item.instrument for item in series if item.summary.timeframe is timeframe]
            if instruments:
                shares = monthly_coverage(connection, instruments, timeframe, static=installation.static)
                maps.append((timeframe.value, map_months(shares)))
    return maps


def _facts(series: Sequence[_Series], summaries: Sequence[Summary], found: Sequence[Finding]) -> list[tuple[str, str]]:
    """Return the names and the texts of the figures at the top of the page."""
    stored = sum(summary.rows for summary in summaries)
    ingested = sum(item.summary.rows for item in series)
    expected = sum(item.summary.expected or 0 for item in series)
    present = sum(item.summary.present or 0 for item in series)
    return [
        ("bars ingested", f"{ingested:,}"),
        ("bars rolled up from them", f"{stored - ingested:,}"),
        ("instruments", f"{len({item.instrument.symbol for item in series})}"),
        ("of expected sessions", f"{100 * present / expected:.2f} %" if expected else "none"),
        ("noticed by the gate", f"{len(found):,}"),
    ]


def _origins(series: Sequence[_Series]) -> dict[str, list[str]]:
    """Return which symbols have real data and which have not; nothing where there is no series."""
    sample = _symbols(item for item in series if any(_provider(source) == _SAMPLE for source in item.summary.sources))
    own = _symbols(item for item in series if not item.simulated and item.instrument.symbol not in sample)
    simulated = _symbols(item for item in series if item.simulated)
    return {"sample": sample, "own": own, "simulated": simulated} if series else {}


def _stored(series: Sequence[_Series], summaries: Sequence[Summary]) -> list[dict[str, Any]]:
    """Return a row of the table of what is stored for each series."""
    bases = {(item.summary.symbol, item.summary.timeframe) for item in series}
    derived: dict[tuple[str, Timeframe], list[tuple[str, int]]] = defaultdict(list)
    for summary in summaries:
        if not _was_ingested(summary):
            base = summary.timeframe.base
            # Where no provider gave days, they and what is rolled up from them come from minutes.
            base = base if (summary.symbol, base) in bases else Timeframe.M1
            derived[summary.symbol, base].append((summary.timeframe.value, summary.rows))
    return [
        {
            "symbol": item.summary.symbol,
            "name": item.instrument.name or "",
            "simulated": item.simulated,
            "sources": item.summary.sources,
            "timeframe": item.summary.timeframe.value,
            "bars": item.summary.rows,
            "first": item.summary.first_ts,
            "last": item.summary.last_ts,
            "present": item.summary.present or 0,
            "expected": item.summary.expected or 0,
            "derived": derived[item.summary.symbol, item.summary.timeframe],
        }
        for item in series
    ]


def _query(query: ShownQuery) -> dict[str, Any]:
    """Return a query and the first rows that it returned."""
    names = query.rows.column_names
    return {
        "code": query.code,
        "count": query.rows.num_rows,
        "milliseconds": query.seconds * 1000,
        "names": names,
        "rows": [[_text(row[name]) for name in names] for row in query.rows.slice(0, _MOST_ROWS).to_pylist()],
        "text_columns": _TEXT_COLUMNS,
    }


def _chart(item: _Series, chart: dict[str, Any]) -> dict[str, Any]:
    """Return the heading of a chart, and the id of the element in which it is drawn."""
    return {
        "id": chart["id"],
        "symbol": item.instrument.symbol,
        "name": item.instrument.name or "",
        "width": chart["width"],
        "simulated": item.simulated,
    }


def _gate(outcomes: Sequence[PartitionResult]) -> dict[str, Any] | None:
    """Return what the gate found by rule, those broken most first; None where it has checked nothing."""
    verdicts = [outcome.verdict for outcome in outcomes if outcome.verdict]
    if not verdicts:
        return None
    by_rule: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for verdict in verdicts:
        for check in verdict.checks:
            by_rule[check.name, check.severity].append(check.passed)
    return {
        "rows": sum(verdict.rows for verdict in verdicts),
        "partitions": len(verdicts),
        "rejected": sum(verdict.rejected.num_rows for verdict in verdicts),
        "rules": [
            [name.replace("_", " "), severity, f"{len(passed):,}", f"{len(passed) - sum(passed):,}"]
            for (name, severity), passed in sorted(by_rule.items(), key=lambda rule: sum(rule[1]) - len(rule[1]))
        ],
    }


def _findings(found: Sequence[Finding]) -> dict[str, Any] | None:
    """Return what was noticed and nobody dismissed, the false prints first; None where there is nothing."""
    if not found:
        return None
    ordered = sorted(found, key=lambda each: each.state != "confirmed")
    return {
        "count": len(found),
        "names": ["instrument", "timeframe", "what", "first", "state", "detail"],
        "rows": [
            [each.symbol, each.timeframe, each.rule.replace("_", " "), _text(each.start), each.state, each.detail]
            for each in ordered[:_MOST_FINDINGS]
        ],
    }


def _text(value: Any) -> str:  # noqa: ANN401 - of any column
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d}" if value.hour == value.minute == 0 else f"{value:%Y-%m-%d %H:%M}"
    return write_number(value) if isinstance(value, float) else str(value)


def _provider(source: str) -> str:
    """Return who gave a bar, or the minutes that it was rolled up from."""
    return source.removeprefix(f"{DERIVED}{Timeframe.M1.value}:").partition(":")[0]


def _symbols(series: Iterable[_Series]) -> list[str]:
    return list(dict.fromkeys(item.instrument.symbol for item in series))
