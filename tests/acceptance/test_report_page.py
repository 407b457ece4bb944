"""The page of a report in a real browser: what it says of a candle can be read in light and in dark."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from plotly.offline import get_plotlyjs

from chandlery.report.page import render_page
from tests.acceptance.test_ui import BROWSERS, QUIET
from tests.unit.report.test_page import NOTHING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, pytest.mark.ui]

#: Least contrast of text to its ground, by the Web Content Accessibility Guidelines.
_READABLE = 4.5
_LABELS = """() => [...document.querySelectorAll('#chart-0 .hovertext, #chart-0 .axistext')].map(
  label => [...label.querySelectorAll('path, text')].map(part => getComputedStyle(part).fill))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser: looked on the PATH for {', '.join(BROWSERS)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    days = [f"2024-01-{day:02}" for day in (2, 3, 4)]
    prices = {"open": [10.0, 11.0, 10.5], "high": [12.0, 12.0, 11.0], "low": [9.0, 10.0, 10.0]}
    bars = prices | {"close": [11.0, 10.5, 10.75], "volume": [100.0, 200.0, 50.0]}
    drawn = {"id": "chart-0", "name": "AAA", "width": "1d", "x": days, **bars, "breaks": []}
    charts = [{"id": "chart-0", "symbol": "AAA", "name": "", "width": "1d", "simulated": False}]
    values = NOTHING | {"charts": charts, "made_at": datetime(2024, 6, 3, tzinfo=UTC)}
    data = drawn | {"range": ["2024-01-01", "2024-01-05"]}
    page = Path(tmp_path_factory.mktemp("report")) / "report.html"
    page.write_text(render_page(plotly=get_plotlyjs(), chart_data=[data], **values), encoding="utf-8")
    return page.as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_candle_s_label_can_be_read(browser: Browser, address: str, scheme: Literal["light", "dark"]) -> None:
    page = browser.new_page(viewport={"width": 1000, "height": 900}, color_scheme=scheme)
    page.goto(address)
    chart = page.locator("#chart-0")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 120)
    page.locator("#chart-0 .hovertext").first.wait_for(state="attached")
    labels = page.evaluate(_LABELS)
    assert len(labels) >= 2  # of the candle, and of its day
    for ground, *texts in labels:
        assert {contrast(text, ground) >= _READABLE for text in texts if text != "none"} == {True}, labels
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_strip_below_a_chart_veils_only_what_is_not_shown(
    browser: Browser, address: str, scheme: Literal["light", "dark"]
) -> None:
    page = browser.new_page(viewport={"width": 1000, "height": 900}, color_scheme=scheme)
    page.goto(address)
    page.locator("#chart-0 .rangeslider-mask-min").wait_for(state="attached")
    opacity = """name => [...document.querySelectorAll('#chart-0 .rangeslider-' + name)].map(
      each => Number(getComputedStyle(each).fillOpacity))"""
    assert page.evaluate(opacity, "mask-min") == [0.72]
    for name in ("mask-min-opp-axis", "mask-max-opp-axis", "slidebox"):
        assert page.evaluate(opacity, name) == [0], name
    page.close()


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, ``rgb(1, 2, 3)``, 1 to 21."""
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
