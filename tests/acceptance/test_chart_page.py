"""The page of a chart in a real browser: what is on it, in light and dark, wide and narrow, by pointer and by keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

from chandlery.pictures.candle_chart import CATEGORIES, KINDS, CandleChart
from chandlery.pictures.candle_page import render_chart
from tests.acceptance.test_report_page import browser, contrast
from tests.charted import FIRST, HOSTILE, MINUTE, bars_at, everything

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["browser"]  # a fixture

pytestmark = [pytest.mark.slow, pytest.mark.ui]

Scheme = Literal["light", "dark"]
WIDE, NARROW = (1280, 900), (390, 844)
#: How many different colours a part of the canvas has.
_COLOURS = """([left, top, right, bottom]) => {
  const canvas = document.getElementById("canvas"), ratio = canvas.width / canvas.clientWidth;
  const part = [left, top, right - left, bottom - top].map((each) => Math.round(each * ratio));
  const bytes = new Uint32Array(canvas.getContext("2d").getImageData(...part).data.buffer);
  return new Set(bytes).size;
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save(everything(), tmp_path_factory.mktemp("chart"))


def save(chart: CandleChart, folder: Path) -> str:
    file = folder / "chart.html"
    file.write_text(render_chart(chart), encoding="utf-8")
    return file.as_uri()


@contextmanager
def opened(browser: Browser, address: str, size: tuple[int, int] = WIDE, scheme: Scheme = "light") -> Iterator[Page]:
    """Lend the page; it may complain of nothing, and request nothing from anywhere."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url) if not request.url.startswith("data:") else None)
    page.goto(address)
    page.locator("#plot[data-ready=true]").wait_for()
    yield page
    assert complaints == [address]
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_everything_is_on_the_page_and_nothing_sticks_out(
    browser: Browser, address: str, size: tuple[int, int], scheme: Scheme
) -> None:
    with opened(browser, address, size, scheme) as page:
        reasons = page.locator("[data-reason]").evaluate_all("all => all.map(e => [e.dataset.reason, e.dataset.gaps])")
        assert dict(reasons) == dict.fromkeys(CATEGORIES, "1")
        marks = page.locator("[data-mark]").evaluate_all("all => all.map(e => [e.dataset.mark, e.dataset.count])")
        assert dict(marks) == dict.fromkeys(KINDS, "1") | {"revision": "2", "rejected": "6"}
        lines = page.locator("[data-line]").evaluate_all("all => all.map(e => e.dataset.line)")
        assert lines == ["SMA_20", "MACD_12_26_9", "RSI_14"]
        shades = page.locator(".swatch").evaluate_all("all => all.map(e => getComputedStyle(e).background)")
        assert len(set(shades)) == len(CATEGORIES) + 1
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]
        page.click("[data-do=all]")
        page.wait_for_function("new Promise(requestAnimationFrame)")
        assert page.evaluate(_COLOURS, [0, 0, size[0] * 0.7, 200]) > 20
        for part in ("h1", ".facts dt", ".legend li", ".keys", ".readout", "button"):
            ink = page.locator(part).first.evaluate("each => getComputedStyle(each).color")
            paper = page.locator("body").evaluate("each => getComputedStyle(each).backgroundColor")
            assert contrast(ink, paper) >= 4.5, part


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_the_box_at_the_pointer_says_what_is_known_and_stays_inside(
    browser: Browser, address: str, size: tuple[int, int]
) -> None:
    with opened(browser, address, size) as page:
        page.click("[data-find=revision]")
        box = page.locator("#plot").bounding_box()
        assert box is not None
        for share in (0.05, 0.5, 0.8):
            page.mouse.move(box["x"] + box["width"] * share, box["y"] + 60)
            assert "close" in page.inner_text("#readout")
        page.click("[data-find=revision]")  # the pointer left the chart, so it is the first
        page.click("[data-find=revision]")  # the second, which was restated twice
        assert page.inner_text("#box").count("restated") == 2
        page.click("[data-find=halted]")
        assert "trading was halted" in page.inner_text("#box")
        shown = page.locator("#box").bounding_box()
        assert shown is not None
        assert box["x"] <= shown["x"]
        assert shown["x"] + shown["width"] <= box["x"] + box["width"]


def test_what_somebody_wrote_stays_text(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        page.click("[data-find=halted]")
        assert HOSTILE in page.inner_text("#box")
        page.click("[data-find=rejected]")
        assert HOSTILE in page.inner_text("#box")
        page.locator("details").evaluate_all("all => all.forEach(e => { e.open = true; })")
        page.locator("#bars td").first.wait_for()
        assert page.evaluate("window.broken") is None
        assert page.locator("img").count() == 0


def test_keys_go_everywhere_and_are_said_aloud(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        assert "866 bars from 2024-06-13 12:30 to 2024-06-17 20:59 UTC" in str(
            page.get_attribute("#plot", "aria-label")
        )
        page.focus("#plot")
        page.keyboard.press("Home")
        assert page.inner_text("#said").startswith("2024-06-13 12:30, open 90.01")
        page.keyboard.press("n")
        assert "no trade 2024-06-13 14:10 to 2024-06-13 14:12, 2 bars: nothing was traded" in page.inner_text("#said")
        page.keyboard.press("End")
        assert page.inner_text("#said").startswith("2024-06-17 20:59")
        page.keyboard.press("ArrowLeft")
        assert page.inner_text("#said").startswith("2024-06-17 20:58")
        page.keyboard.press("0")
        page.click("#bars summary")
        page.locator("#bars td").first.wait_for()
        assert page.inner_text("#bars caption") == "the last 500 of 866 bars in view"


def test_the_wheel_zooms_a_drag_moves_and_the_strip_jumps(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        page.click("[data-do=all]")
        page.click("#bars summary")
        page.evaluate("scrollTo(0, 0)")
        box = page.locator("#plot").bounding_box()
        assert box is not None
        x, y = box["x"] + 500, box["y"] + 100
        counts = [listed(page)]
        page.mouse.move(x, y)
        page.mouse.wheel(0, -600)
        page.wait_for_function("count => document.querySelector('#bars caption').innerText !== count", arg=counts[0])
        counts.append(listed(page))
        assert counts[0] == "the last 500 of 866 bars in view"
        first = page.inner_text("#bars td >> nth=0")
        page.mouse.down()
        page.mouse.move(x + 200, y)
        page.mouse.up()
        assert page.inner_text("#bars td >> nth=0") < first  # earlier bars came into view
        page.mouse.click(box["x"] + 20, box["y"] + box["height"] - 12)
        assert page.inner_text("#bars td >> nth=0") == "2024-06-13 12:30"


def listed(page: Page) -> str:
    return page.inner_text("#bars caption")


def test_the_reader_chooses_the_colours(browser: Browser, address: str) -> None:
    with opened(browser, address, scheme="light") as page:
        light = page.locator("body").evaluate("each => getComputedStyle(each).backgroundColor")
        page.click("#theme")
        assert page.locator("body").evaluate("each => getComputedStyle(each).backgroundColor") != light
        assert page.get_attribute("#theme", "aria-pressed") == "true"
        page.emulate_media(color_scheme="dark")
        page.click("#theme")
        assert page.locator("body").evaluate("each => getComputedStyle(each).backgroundColor") == light


def test_the_numbers_on_the_page_are_the_bars_to_the_last_digit(browser: Browser, tmp_path: Path) -> None:
    bars = bars_at(FIRST + np.arange(400) * MINUTE)
    odd = bars.set_column(5, "volume", [np.where(np.arange(400) == 7, np.nan, 1e15 / 3)])
    for table in (bars, odd.set_column(4, "close", [bars["close"].to_numpy() / 3])):
        chart = CandleChart("AAA", "", "1m", True, table, np.zeros(400, np.bool_))
        with opened(browser, save(chart, tmp_path)) as page:
            page.click("[data-do=all]")
            page.click("#bars summary")
            rows = page.locator("#bars tbody tr").evaluate_all(
                "all => all.map(r => [...r.cells].map(c => c.innerText))"
            )
        assert len(rows) == 400
        for name, place in (("open", 1), ("high", 2), ("low", 3), ("close", 4)):
            assert [float(row[place]) for row in rows] == [round(value, 8) for value in table[name].to_pylist()], name
        assert (rows[7][5] == "none") == (table is not bars)


def test_a_hundred_thousand_bars_fit_into_a_megabyte_and_move_at_once(browser: Browser, tmp_path: Path) -> None:
    bars = bars_at(FIRST + np.arange(100_000) * MINUTE)
    chart = CandleChart("AAA", "", "1m", True, bars, np.zeros(bars.num_rows, np.bool_))
    address = save(chart, tmp_path)
    assert (tmp_path / "chart.html").stat().st_size < 1_000_000
    with opened(browser, address) as page:
        page.click("[data-do=all]")
        page.focus("#plot")
        for key in ("+", "+", "PageUp", "PageDown", "-", "0", "Home", "End"):
            page.keyboard.press(key)
        assert page.inner_text("#said").startswith("2024-08-22 00:09")


def test_a_chart_without_bars_says_so(browser: Browser, tmp_path: Path) -> None:
    chart = CandleChart("AAA", "", "1d", False, bars_at(np.empty(0, np.int64)), np.empty(0, np.bool_))
    with opened(browser, save(chart, tmp_path)) as page:
        assert page.get_attribute("#plot", "aria-label") == "AAA 1d: no bars."
