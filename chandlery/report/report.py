"""A report of what is stored: one HTML file that opens anywhere, without a network.

Not here: its style and script (``report_page``), and the data of its charts (``report_charts``).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import pyarrow as pa

from chandlery.app.installation import Installation
from chandlery.core.optional import import_optional
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.summary import Summary, monthly_coverage, summarize
from chandlery.ingest.quarantine import count_waiting
from chandlery.ingest.validate import PartitionResult
from chandlery.instruments.aliases import resolve
from chandlery.instruments.registry import Instrument
from chandlery.report.charts import chart_data
from chandlery.report.page import PAGE

_SIMULATED, _SAMPLE = "simulated", "sample"
_FORMATS = {"open": ",.2f", "high": ",.2f", "low": ",.2f", "close": ",.2f", "volume": ",.0f", "vwap": ",.4f"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A query, as shown in a report.

    Attributes:
        code: what was asked, in Python.
        rows: what was answered.
        seconds: how long it took.
    """

    code: str
    rows: pa.Table
    seconds: float


@dataclass(frozen=True, slots=True)
class _Series:
    """One instrument's bars of an ingested timeframe, and what is known about them."""

    instrument: Instrument
    summary: Summary

    @property
    def simulated(self) -> bool:
        return any(source.partition(":")[0] == _SIMULATED for source in self.summary.sources)


def write_report(
    installation: Installation,
    path: Path,
    symbols: Sequence[str],
    *,
    title: str = "What is in the chandlery",
    outcomes: Sequence[PartitionResult] = (),
    answers: Sequence[Answer] = (),
    now: datetime | None = None,
) -> Path:
    """Write a report of ``symbols`` and return its path.

    Args:
        installation: where they are stored.
        path: of the file; its folder is made, and a file that is there is replaced.
        symbols: which instruments to show; those without bars are left out.
        title: of the page.
        outcomes: of the partitions that the gate judged, for a summary of its rules.
        answers: queries to show.
        now: the present, UTC; the clock by default.
    """
    plotly = import_optional("plotly.offline", extra="report", needed_by="a report")
    everything = (datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))
    with installation.warehouse.connection() as connection:
        instruments = [resolve(connection, symbol, *everything) for symbol in symbols]
        summaries = summarize(connection, instruments)
        months = [monthly_coverage(connection, instruments, timeframe) for timeframe in (Timeframe.D1, Timeframe.M1)]
        waiting = count_waiting(connection)
    by_symbol = {instrument.symbol: instrument for instrument in instruments}
    series = [_Series(by_symbol[one.symbol], one) for one in summaries if one.timeframe.is_ingested]
    charts = [
        chart_data(installation.warehouse, place, one.instrument, one.summary, summaries)
        for place, one in enumerate(series)
    ]
    body = "\n".join(
        [
            _header(title, series, summaries, now or datetime.now(UTC)),
            _provenance(series),
            _stored(series, summaries),
            _answers(answers),
            _charts(series, charts),
            _coverage(months),
            _gate(outcomes, waiting),
            "<footer>Made by Chandlery. Times are UTC; prices are as traded, not adjusted.</footer>",
        ]
    )
    # A closing tag inside the data would end the script.
    data = json.dumps(charts, separators=(",", ":")).replace("</", "<\\/")
    page = Template(PAGE).substitute(title=escape(title), body=body, plotly=plotly.get_plotlyjs(), charts=data)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def _header(title: str, series: Sequence[_Series], summaries: Sequence[Summary], now: datetime) -> str:
    stored = sum(one.rows for one in summaries)
    ingested = sum(one.summary.rows for one in series)
    expected = sum(one.summary.expected or 0 for one in series)
    present = sum(one.summary.present or 0 for one in series)
    facts = [
        ("bars ingested", f"{ingested:,}"),
        ("bars rolled up from them", f"{stored - ingested:,}"),
        ("instruments", f"{len({one.instrument.symbol for one in series})}"),
        ("of expected sessions are there", f"{100 * present / expected:.2f} %" if expected else "none"),
    ]
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    return (
        f'<header><h1>{escape(title)}</h1><p class="soft">{now:%d %B %Y, %H:%M} UTC</p>'
        f'<dl class="facts">{items}</dl></header>'
    )


def _provenance(series: Sequence[_Series]) -> str:
    """Say which data are real and which are not."""
    simulated = _names(one for one in series if one.simulated)
    sample = _names(one for one in series if any(source.startswith(_SAMPLE) for source in one.summary.sources))
    others = _names(one for one in series if not one.simulated and one.instrument.symbol not in sample)
    parts = []
    if sample:
        parts.append(
            f'<p><span class="tag real">real</span> {_list(sample)}: daily bars as they traded, a public-domain sample'
            " that comes with the package <code>bokeh_sampledata</code>.</p>"
        )
    if others:
        parts.append(f'<p><span class="tag real">yours</span> {_list(others)}: from the sources named below.</p>')
    if simulated:
        parts.append(
            f'<p><span class="tag made">simulated</span> {_list(simulated)}: invented by a random generator so that'
            " there are minutes to look at. Nothing of it ever happened.</p>"
        )
    return f'<div class="note">{"".join(parts)}</div>' if parts else ""


def _stored(series: Sequence[_Series], summaries: Sequence[Summary]) -> str:
    derived: dict[tuple[str, Timeframe], list[str]] = defaultdict(list)
    for one in summaries:
        if not one.timeframe.is_ingested:
            derived[one.symbol, one.timeframe.base].append(f"{one.timeframe.value} {one.rows:,}")
    rows = []
    for each in series:
        one = each.summary
        kind = '<span class="tag made">simulated</span>' if each.simulated else '<span class="tag real">real</span>'
        rows.append(
            [
                f"<b>{escape(one.symbol)}</b><small>{escape(each.instrument.name or '')}</small>",
                f"{kind}<small>{escape(', '.join(one.sources))}</small>",
                one.timeframe.value,
                f"{one.rows:,}",
                f"{one.first_ts:%Y-%m-%d}<small>{one.last_ts:%Y-%m-%d}</small>",
                f"{one.present or 0:,}<small>of {one.expected or 0:,}</small>",
                " · ".join(escape(text).replace(" ", "&nbsp;") for text in derived[one.symbol, one.timeframe]),
            ]
        )
    names = ["instrument", "source", "timeframe", "bars", "first, last", "sessions", "rolled up into"]
    return "<h2>What is stored</h2>" + _table(names, rows, left={0, 1, 2, 6})


def _answers(answers: Sequence[Answer]) -> str:
    parts = []
    for answer in answers:
        names = answer.rows.column_names
        shown = answer.rows.slice(0, 12).to_pylist()
        rows = [[escape(_cell(name, row[name])) for name in names] for row in shown]
        left = {place for place, name in enumerate(names) if name in {"ts", "symbol", "source"}}
        parts.append(
            f"<pre>{escape(answer.code)}</pre>"
            f'<p class="soft">{answer.rows.num_rows:,} rows in {answer.seconds * 1000:.1f} ms</p>'
            + _table(names, rows, left=left)
        )
    return f"<h2>Asking for it</h2>{''.join(parts)}" if parts else ""


def _charts(series: Sequence[_Series], charts: Sequence[dict[str, Any]]) -> str:
    parts = [
        "<h2>What it looks like</h2>",
        '<p class="soft">Drag to zoom, double-click to go back; the strip below moves the range.</p>',
    ]
    for one, chart in zip(series, charts, strict=True):
        tag = ' <span class="tag made">simulated</span>' if one.simulated else ""
        parts.append(
            f'<h3>{escape(one.instrument.symbol)} <span class="soft">{escape(one.instrument.name or "")}, '
            f'{escape(chart["width"])}</span>{tag}</h3><div class="chart" id="{chart["id"]}"></div>'
        )
    return "".join(parts)


def _coverage(months: Iterable[pa.Table]) -> str:
    parts = []
    for timeframe, table in zip((Timeframe.D1, Timeframe.M1), months, strict=True):
        if table.num_rows:
            parts.append(f"<h3>{timeframe.value}</h3>{_heat_map(table)}")
    if not parts:
        return ""
    legend = "Each cell is a month: dark blue, every session of the calendar is there; orange, none."
    return f'<h2>What is missing</h2><p class="soft">{legend}</p>{"".join(parts)}'


def _heat_map(table: pa.Table) -> str:
    months = table["month"].to_numpy().astype("datetime64[M]")
    first = months.min()
    count = int((months.max() - first).astype(int)) + 1
    symbols = list(dict.fromkeys(table["symbol"].to_pylist()))
    margin, width, row = 90, 1000, 24
    cell = min(60.0, (width - margin) / count)
    height = row * len(symbols) + 24
    parts = [f'<svg viewBox="0 0 {width} {height}" width="100%" role="img" aria-label="coverage by month">']
    parts += [f'<text class="name" x="0" y="{row * y + 16}">{escape(name)}</text>' for y, name in enumerate(symbols)]
    for name, month, share in zip(table["symbol"].to_pylist(), months, table["share"].to_pylist(), strict=True):
        x = margin + cell * int((month - first).astype(int))
        shade = 3 if share == 1 else 2 if share >= 0.9 else 1 if share > 0 else 0
        parts.append(
            f'<rect class="s{shade}" x="{x:.1f}" y="{row * symbols.index(name)}" width="{max(cell - 0.8, 0.8):.1f}"'
            f' height="{row - 4}" rx="1"><title>{escape(name)} {month}: {share:.0%}</title></rect>'
        )
    every = max(1, -(-count // 14))
    marks = [place for place in range(count) if count < 36 or str(first + place).endswith("-01")]
    for place in marks[:: every if count < 36 else max(1, -(-len(marks) // 14))]:
        text = str(first + place) if count < 36 else str(first + place)[:4]
        if margin + cell * place < width - 30:  # a later one would be cut off
            parts.append(f'<text x="{margin + cell * place:.1f}" y="{height - 6}">{text}</text>')
    return "".join([*parts, "</svg>"])


def _gate(outcomes: Sequence[PartitionResult], waiting: int) -> str:
    left = f"{waiting} entries wait in quarantine." if waiting else "Nothing waits in quarantine."
    verdicts = [outcome.verdict for outcome in outcomes if outcome.verdict]
    if not verdicts:
        return f"<h2>What the gate said</h2><p>{left}</p>"
    by_rule: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for verdict in verdicts:
        for check in verdict.checks:
            by_rule[check.name, check.severity].append(check.passed)
    rows = [
        [escape(name.replace("_", " ")), severity, f"{len(marks):,}", f"{len(marks) - sum(marks):,}"]
        for (name, severity), marks in by_rule.items()
    ]
    judged = sum(verdict.rows for verdict in verdicts)
    rejected = sum(verdict.rejected.num_rows for verdict in verdicts)
    lead = (
        f"<p>{judged:,} rows in {len(verdicts):,} partitions were judged before anything was written; {rejected:,} were"
        f" rejected. {left} A broken critical rule rejects; a warning is only recorded.</p>"
    )
    return (
        "<h2>What the gate said</h2>"
        + lead
        + _table(["rule", "severity", "partitions", "broken in"], rows, left={0, 1})
    )


def _table(names: Sequence[str], rows: Sequence[Sequence[str]], *, left: set[int]) -> str:
    """Return a table; the cells are HTML already."""

    def line(tag: str, cells: Sequence[str]) -> str:
        marked = (f"<{tag}{' class=l' if place in left else ''}>{cell}</{tag}>" for place, cell in enumerate(cells))
        return f"<tr>{''.join(marked)}</tr>"

    body = "".join(line("td", row) for row in rows)
    return f'<div class="scroll"><table><thead>{line("th", names)}</thead><tbody>{body}</tbody></table></div>'


def _cell(name: str, value: Any) -> str:  # noqa: ANN401 - of any column
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d}" if value.hour == value.minute == 0 else f"{value:%Y-%m-%d %H:%M}"
    return format(value, _FORMATS[name]) if name in _FORMATS else str(value)


def _names(series: Iterable[_Series]) -> list[str]:
    return list(dict.fromkeys(one.instrument.symbol for one in series))


def _list(names: Sequence[str]) -> str:
    return escape(", ".join(names))
