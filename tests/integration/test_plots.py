"""Charts of stored bars: what is missing has its reason, and what is known of a bar is marked."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from chandlery import DataAPI
from chandlery.api.chart import Chart
from chandlery.cli import app
from chandlery.errors import UnknownSymbolError, UsageError
from chandlery.ingest.release import release
from chandlery.rollups.refresh import catch_up
from tests.integration.test_session_states import CLOSE, D1, M1, OPEN, Store, minutes, roll_up, store
from tests.support import EVER, Bar, put, utc

__all__ = ["store"]  # a fixture


def legend(chart: Chart) -> dict[str, int]:
    """Return how many gaps of each reason and bars with each mark the legend of a chart counts."""
    found = re.findall(r'<li data-(?:reason|mark)="(\w+)" data-(?:gaps|count)="(\d+)"', chart.html)
    return {name: int(count) for name, count in found}


def slots(chart: Chart) -> dict[str, int]:
    """Return how many bars are missing for each reason."""
    return {
        name: int(n) for name, n in re.findall(r'data-reason="(\w+)" data-gaps="\d+" data-slots="(\d+)"', chart.html)
    }


def data(chart: Chart) -> dict[str, Any]:
    """Return what the page's script reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', chart.html)
    assert found is not None
    read: dict[str, Any] = json.loads(found[1])
    return read


def text(chart: Chart) -> str:
    return html.unescape(chart.html)


def test_missing_minutes_are_shaded_by_their_reason(store: Store) -> None:
    gone = [range(30, 33), range(60, 75), range(100, 160), range(200, 204)]
    store.put(M1, minutes(OPEN, 390, less=gone))
    store.ask(M1, "2024-01-09", "2024-01-10")
    store.halt("2024-01-09T15:30Z", "2024-01-09T15:45Z")
    store.reject(*minutes(OPEN + timedelta(minutes=200), 4))
    chart = DataAPI(store.warehouse).plot("AAA", "2024-01-09", "2024-01-10", "1m")
    # A run of three is what thin trading makes; of sixty, with so much traded around it, it is not.
    assert slots(chart) == {"no_trades": 3, "halted": 15, "provider_gap": 60, "quarantined": 4}
    assert legend(chart) == {"no_trades": 1, "halted": 1, "provider_gap": 1, "quarantined": 1, "rejected": 4}
    assert chart.gaps == {"no_trades": 1, "halted": 1, "provider_gap": 1, "quarantined": 1}
    assert "trading was halted" in text(chart)
    assert list(data(chart)["details"].values()) == ["T1"]


def test_days_that_nobody_asked_for_that_closed_and_that_gave_nothing(store: Store) -> None:
    store.put(D1, [utc("2024-01-09"), utc("2024-01-11"), utc("2024-01-16")])
    store.ask(D1, "2024-01-09", "2024-01-13")
    chart = DataAPI(store.warehouse).plot("AAA", "2024-01-04", "2024-01-18")
    # Before what was asked for, three sessions; the 15th is a holiday, a weekend is nothing; the 17th is not asked for.
    assert slots(chart) == {"closed": 1, "provider_gap": 2, "never_fetched": 4}
    assert legend(chart) == {"closed": 1, "provider_gap": 2, "never_fetched": 2}


def test_without_an_end_a_chart_ends_with_what_is_known(store: Store) -> None:
    store.put(D1, [utc("2024-01-09"), utc("2024-01-10")])
    store.ask(D1, "2024-01-09", "2024-01-12")
    assert slots(DataAPI(store.warehouse).plot("AAA")) == {"provider_gap": 1}


def test_a_session_of_which_only_a_part_was_requested(store: Store) -> None:
    store.put(M1, minutes(OPEN, 100))
    store.ask(M1, "2024-01-09T15:00", "2024-01-10")
    chart = DataAPI(store.warehouse).plot("AAA", "2024-01-09", "2024-01-10", "1m")
    assert slots(chart) == {"not_observed": 290}


def test_wider_bars_have_the_reasons_of_their_minutes(store: Store) -> None:
    store.put(M1, minutes(OPEN, 390, less=[range(90, 210)]))
    roll_up(store)
    store.ask(M1, "2024-01-09", "2024-01-10")
    chart = DataAPI(store.warehouse).plot("AAA", "2024-01-09", "2024-01-10", "10m")
    assert (chart.timeframe, chart.bars, slots(chart)) == ("10m", 27, {"provider_gap": 12})


def test_extended_hours_are_tinted_and_nothing_is_expected_in_them(store: Store) -> None:
    store.put(M1, [*minutes("2024-01-09T14:00", 5), *minutes(OPEN, 390), *minutes(CLOSE, 7)])
    store.ask(M1, "2024-01-09", "2024-01-10")
    api = DataAPI(store.warehouse)
    chart = api.plot("AAA", "2024-01-09", "2024-01-10", "1m")
    assert "extended hours" in chart.html
    assert (chart.bars, chart.gaps) == (402, {})
    regular = api.plot("AAA", "2024-01-09", "2024-01-10", "1m", session="regular")
    assert (regular.bars, regular.gaps) == (390, {})
    assert '<span class="swatch" data-shade="extended">' not in regular.html
    extended = api.plot("AAA", "2024-01-09", "2024-01-10", "1m", session="extended")
    assert (extended.bars, extended.gaps) == (12, {})


def test_a_restated_bar_says_what_it_was_and_a_past_chart_does_not_know_it(store: Store) -> None:
    days = [utc("2024-01-09"), utc("2024-01-10")]
    put(store.warehouse, D1, [Bar("AAA", day) for day in days], now=utc("2024-01-11"))
    put(store.warehouse, D1, [Bar("AAA", days[1], close=11.5), Bar("AAA", utc("2024-01-11"))], now=utc("2024-02-01"))
    api = DataAPI(store.warehouse)
    now = api.plot("AAA", "2024-01-09", "2024-01-12")
    assert legend(now) == {"revision": 1}
    said = "until 2024-02-01 00:00Z it was open 10 high 12 low 9 close 11 volume 100 (test:one, known since 2024-01-11"
    assert said in text(now)
    before = api.plot("AAA", "2024-01-09", "2024-01-12", as_of="2024-01-20")
    assert legend(before) == {"not_known": 1}  # of the 11th, which was learned later
    assert "2024-01-20 00:00:00 UTC" in before.html


def test_rejected_rows_stand_where_they_would_be_until_a_person_releases_them(store: Store) -> None:
    store.put(D1, [utc("2024-01-09"), utc("2024-01-11")])
    store.ask(D1, "2024-01-09", "2024-01-12")
    entry = store.reject(utc("2024-01-10"), utc("2024-01-11"), timeframe=D1)
    chart = DataAPI(store.warehouse).plot("AAA", "2024-01-09", "2024-01-12")
    assert legend(chart) == {"quarantined": 1, "rejected": 2}
    assert [(mark["place"], mark["rejected"][3]) for mark in data(chart)["marks"]] == [(1, 11.0), (2, 11.0)]
    assert f"odd (entry {entry.quarantine_id}, from simulated)" in text(chart)
    release(store.warehouse, entry.quarantine_id, "it is right", released_by="me")
    assert legend(DataAPI(store.warehouse).plot("AAA", "2024-01-09", "2024-01-12")) == {"released": 2}


def test_the_days_of_a_derived_width_say_that_rows_of_its_base_wait(store: Store) -> None:
    store.put(M1, minutes(OPEN, 390, less=[range(100, 130)]))
    roll_up(store)
    store.ask(M1, "2024-01-09", "2024-01-10")
    store.reject(*minutes(OPEN + timedelta(minutes=100), 30))
    chart = DataAPI(store.warehouse).plot("AAA", "2024-01-09", "2024-01-10", "15m")
    assert legend(chart)["rejected"] == 3
    assert "15 rows of 1m, the first open 10 high 12" in text(chart)


def note(store: Store, rule: str, state: str, *spans: str, detail: str = "seen") -> None:
    ranges = "{" + ",".join(f"[{start}Z,{start}Z]" for start in spans) + "}"
    store.connection.execute(
        "INSERT INTO ops.finding (instrument_id, timeframe, rule, scope, spans, evidence, state, found_at, changed_at,"
        " closed_at, closed_by, reason) VALUES (%s, '1d', %s, %s, %s, %s, %s, now(), now(), %s, %s, %s)",
        (
            store.instrument().instrument_id, rule, spans[0], ranges, json.dumps({"detail": detail}), state,
            *((None,) * 3 if state == "open" else (utc("2024-06-01"), "gate", "later bars")),
        ),
    )  # fmt: skip


def test_false_prints_and_all_else_that_was_noticed_are_marked_each_on_its_bar(store: Store) -> None:
    store.put(D1, [utc(f"2024-01-{day:02}") for day in (8, 9, 10, 11, 12)])
    note(store, "suspect_print", "confirmed", "2024-01-10", detail="undone by the next bar")
    note(store, "price_jump", "open", "2024-01-09", "2024-01-12")
    note(store, "zero_volume_run", "dismissed", "2024-01-11")
    chart = DataAPI(store.warehouse).plot("AAA", "2024-01-08", "2024-01-13")
    assert legend(chart) == {"false_print": 1, "finding": 2}
    assert [mark["place"] for mark in data(chart)["marks"]] == [1, 2, 4]
    assert "suspect print, confirmed: undone by the next bar" in text(chart)


def test_prices_are_drawn_over_the_candles_and_other_indicators_below(store: Store) -> None:
    store.put(D1, [utc("2024-01-09") + timedelta(days=n) for n in range(3)])
    chart = DataAPI(store.warehouse).plot("AAA", indicators=["sma_2", "MACD_2_3_2", "RETURN"])
    panels = {line["name"]: line["panel"] for line in data(chart)["lines"]}
    assert panels == {
        "SMA_2": "", "RETURN_1": "RETURN_1",
        **dict.fromkeys(("MACD_2_3_2", "MACD_2_3_2_signal", "MACD_2_3_2_hist"), "MACD_2_3_2"),
    }  # fmt: skip
    assert re.findall(r'data-line="(\w+)"', chart.html) == list(panels)


def test_too_many_bars_are_drawn_wider_and_the_page_says_so(store: Store) -> None:
    store.put(M1, [at for day in (8, 9) for at in minutes(f"2024-01-{day:02}T14:30", 390)])
    roll_up(store)
    store.ask(M1, "2024-01-08", "2024-01-10")
    chart = DataAPI(store.warehouse).plot("AAA", "2024-01-08", "2024-01-10", "1m", max_bars=100, session="regular")
    assert (chart.timeframe, chart.bars) == ("15m", 52)
    assert "780 1m bars are too many to draw; these are 15m bars. A shorter range shows 1m." in chart.html


def test_what_a_person_or_provider_wrote_is_never_markup(store: Store) -> None:
    hostile = "</script><script>alert(1)</script>"
    put(store.warehouse, D1, [Bar("AAA", utc("2024-01-09"), source=f"test:{hostile}")])
    store.connection.execute("UPDATE market.instrument SET name = %s", (hostile,))
    note(store, "price_jump", "open", "2024-01-09", detail=hostile)
    store.put(D1, [utc("2024-01-11")])
    store.ask(D1, "2024-01-09", "2024-01-12")
    chart = DataAPI(store.warehouse).plot("AAA")
    assert hostile not in chart.html
    assert chart.html.count("<script") == 2
    assert chart.html.count("&lt;/script&gt;&lt;script&gt;alert(1)") == 3  # name, source and the table of marks


def test_a_chart_is_shown_in_a_notebook_and_saved(store: Store, tmp_path: Path) -> None:
    store.put(D1, [utc("2024-01-09")])
    chart = DataAPI(store.warehouse).plot("AAA")
    assert repr(chart) == "<Chart AAA 1d, 1 bar; save('chart.html') writes it>"
    shown = chart._repr_html_()
    assert shown.startswith('<iframe title="Chart of AAA 1d" sandbox="allow-scripts"')
    framed = re.search('srcdoc="([^"]*)"', shown)
    assert framed is not None
    assert html.unescape(framed[1]) == chart.html
    assert chart.save(tmp_path / "new" / "chart.html").read_text(encoding="utf-8") == chart.html


def test_a_wrong_argument_is_named(store: Store) -> None:
    store.put(D1, [utc("2024-01-09")])
    api = DataAPI(store.warehouse)
    calls: list[tuple[Callable[[], object], type[Exception], str]] = [
        (lambda: api.plot("ZZZ"), UnknownSymbolError, "ZZZ"),
        (lambda: api.plot(""), UsageError, "symbol="),
        (lambda: api.plot("AAA", timeframe="1x"), UsageError, "timeframe="),
        (lambda: api.plot("AAA", "2024-01-10", "2024-01-09"), UsageError, "start="),
        (lambda: api.plot("AAA", max_bars=1), UsageError, "max_bars=1 is not allowed; give a whole number"),
        (lambda: api.plot("AAA", indicators=["NO_1"]), UsageError, "NO"),
        (lambda: api.plot("AAA", as_of="never"), UsageError, "as_of="),
        (lambda: api.plot("AAA", session="night"), UsageError, "session="),  # type: ignore[arg-type]
    ]
    for call, error, words in calls:
        with pytest.raises(error, match=re.escape(words)):
            call()


def test_an_empty_range_is_a_chart_without_bars(store: Store) -> None:
    store.put(D1, [utc("2024-01-09")])
    chart = DataAPI(store.warehouse).plot("AAA", "2030-01-01", "2030-02-01")
    assert (chart.bars, chart.gaps) == (0, {})


def test_the_command_writes_a_file(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(D1, [utc("2024-01-09"), utc("2024-01-11")])
    store.ask(D1, "2024-01-09", "2024-01-12")
    monkeypatch.setenv("CHANDLERY_DATABASE_URL", store.warehouse.database.dsn)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["chart", "AAA", "--indicators", "SMA_2,SMA_3", "-i", "RETURN"])
    assert done.exit_code == 0, done.output
    assert "AAA 1d: 2 bars, gaps: 1 provider gap" in done.output
    page = (tmp_path / "AAA_1d.html").read_text(encoding="utf-8")
    assert re.findall(r'data-line="(\w+)"', page) == ["SMA_2", "SMA_3", "RETURN_1"]
    done = CliRunner().invoke(app, ["chart", "AAA", "-o", "there/a.html", "--json"])
    facts = {"symbol": "AAA", "timeframe": "1d", "bars": 2, "gaps": {"provider_gap": 1}}
    assert json.loads(done.stdout) == {"file": "there/a.html", **facts}
    assert (tmp_path / "there" / "a.html").is_file()
    done = CliRunner().invoke(app, ["chart", "AAA", "-o", "a.png"])
    assert (done.exit_code, "does not end with .html" in done.output) == (2, True)


def test_wider_bars_of_days_are_missing_where_all_of_their_days_are(store: Store) -> None:
    store.put(D1, [utc("2024-01-08") + timedelta(days=n) for n in (0, 1, 2, 3, 4, 14, 15)])
    store.ask(D1, "2024-01-08", "2024-01-27")
    list(catch_up(store.warehouse, D1, [store.instrument()], *EVER))
    api, found = DataAPI(store.warehouse), {}
    for width in ("2d", "1w", "1mo"):
        chart = api.plot("AAA", "2024-01-01", "2024-01-27", width)
        found[width] = chart.bars, slots(chart)
    assert found == {
        "2d": (4, {"provider_gap": 4, "never_fetched": 2}),
        "1w": (2, {"provider_gap": 1, "never_fetched": 1}),
        "1mo": (1, {}),
    }
