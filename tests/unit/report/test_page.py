"""The page of a report: complete, escaped, and independent of a network. Not here: its figures (``test_cli``)."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from jinja2 import UndefinedError

from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from chandlery.ingest.gate import REJECTED, Check, Verdict
from chandlery.ingest.result import PartitionResult
from chandlery.report.months import map_months
from chandlery.report.page import render_page
from chandlery.report.report import ShownQuery, _gate, _query
from tests.support import Traded

EVIL = "</script><b>&\"'"
NOTHING: dict[str, Any] = {
    "title": "Nothing",
    "made_at": datetime(2024, 6, 3, 14, 5, tzinfo=UTC),
    "facts": [],
    "origins": {},
    "stored": [],
    "queries": [],
    "charts": [],
    "coverage": [],
    "gate": None,
    "waiting": 0,
    "findings": None,
}


class Outline(HTMLParser):
    """The texts of a page, and the tags that are open at its end."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "link"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open[-1] not in {"script", "style"}:
            self.texts.append(" ".join(data.split()))


def month_table(months: list[str], shares: list[float], symbol: str = "AAA") -> pa.Table:
    days = np.array(months, "datetime64[M]").astype("datetime64[D]")
    return pa.table({"symbol": [symbol] * len(months), "month": pa.array(days), "share": shares})


def test_a_page_of_nothing_is_complete() -> None:
    page = render_page(plotly="", chart_data=[], **NOTHING)
    outline = Outline(page)
    assert outline.open == []
    assert outline.texts == [
        *("Nothing", "Nothing", "03 June 2024, 14:05 UTC", "What is stored", "instrument", "source", "timeframe"),
        *("bars", "first, last", "sessions", "rolled up into", "What it looks like"),
        "Drag to zoom, double-click to go back; the strip below moves the range.",
        *("What the gate said", "No bar came that had not been audited before. Nothing waits in quarantine."),
        "Made by Chandlery. Times are UTC; prices are as traded, not adjusted.",
    ]


def test_what_a_page_shows_cannot_become_markup() -> None:
    moment = datetime(2024, 6, 3, tzinfo=UTC)
    row = {"symbol": EVIL, "name": EVIL, "simulated": True, "sources": [EVIL], "timeframe": "1d", "bars": 1234}
    row |= {"first": moment, "last": moment, "present": 1, "expected": 2, "derived": [("1w", 5), ("1mo", 1)]}
    query = {"code": EVIL, "count": 1, "milliseconds": 1.25, "names": ["ts"], "rows": [[EVIL]], "text_columns": ["ts"]}
    chart = {"id": "chart-0", "symbol": EVIL, "name": EVIL, "width": "1d", "simulated": True}
    shown = NOTHING | {
        "title": EVIL,
        "origins": {"sample": [EVIL], "own": [EVIL], "simulated": [EVIL]},
        "stored": [row],
        "queries": [query],
        "charts": [chart],
        "coverage": [("1d", map_months(month_table(["2024-01"], [1.0], EVIL)))],
        "gate": {"rows": 3, "partitions": 2, "rejected": 1, "rules": [[EVIL, "critical", "2", "1"]]},
        "waiting": 1,
        "findings": {"count": 3, "names": ["instrument", "detail"], "rows": [[EVIL, EVIL]]},
    }
    page = render_page(plotly="", chart_data=[{"name": EVIL}], **shown)
    outline = Outline(page)
    assert outline.open == []
    assert page.count("<script") == page.count("</script>") == 3
    assert sum(EVIL in text for text in outline.texts) == 17
    data = re.search(r'id="charts">(.*?)</script>', page)
    assert data is not None
    assert json.loads(data[1]) == [{"name": EVIL}]
    assert {"1,234", "1w\N{NO-BREAK SPACE}5 \N{MIDDLE DOT} 1mo\N{NO-BREAK SPACE}1"} & set(outline.texts)


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="'waiting' is undefined"):
        render_page(plotly="", chart_data=[], **{name: NOTHING[name] for name in NOTHING if name != "waiting"})


def test_a_map_of_months_has_a_box_for_each_and_shades_them() -> None:
    drawing = map_months(month_table(["2024-01", "2024-02", "2024-04", "2024-05"], [0.0, 0.5, 0.9, 1.0]))
    assert [cell.shade for cell in drawing.cells] == [0, 1, 2, 3]
    assert [cell.x for cell in drawing.cells] == [90, 150, 270, 330]
    assert drawing.cells[1].title == "AAA 2024-02: 50%"
    assert [text for text, _ in drawing.months] == ["2024-01", "2024-02", "2024-03", "2024-04", "2024-05"]


def test_a_map_of_many_months_is_labelled_by_the_year() -> None:
    months = np.arange("2000-03", "2013-03", dtype="datetime64[M]").astype(str).tolist()
    drawing = map_months(month_table(months, [1.0] * len(months)))
    assert [text for text, _ in drawing.months] == [
        str(year) for year in range(2001, 2013)
    ]  # the label of 2013 would be cut off
    assert drawing.cells[-1].x + drawing.cells[-1].width <= drawing.width


def test_a_price_below_a_cent_is_shown_with_every_digit() -> None:
    rows = pa.table({"ts": [datetime(2024, 6, 3, tzinfo=UTC)], "close": [0.000010000001], "volume": [0.00001234]})
    shown = _query(ShownQuery("query", rows, 0.1))
    assert shown["rows"] == [["2024-06-03", "0.000010000001", "0.00001234"]]


def test_rules_that_were_broken_stand_first() -> None:
    def audited(**passed: bool) -> PartitionResult:
        checks = [Check(name, "critical", holds) for name, holds in passed.items()]
        window = Timeframe.D1.window_of(datetime(2024, 6, 3, tzinfo=UTC))
        partition = Partition.of(Traded("AAPL"), Timeframe.D1, window)
        verdict = Verdict(partition, True, 3, checks, REJECTED.empty_table())
        return PartitionResult(partition, "published", verdict=verdict)

    found = _gate([audited(first=True, second=False, third=True), audited(first=True, second=False, third=False)])
    assert found is not None
    assert [rule[0] for rule in found["rules"]] == ["second", "third", "first"]
