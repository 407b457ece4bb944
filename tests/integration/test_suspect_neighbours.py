"""A suspect bar is judged with its stored neighbours, whatever a batch holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from chandlery.core.timeframe import Timeframe
from chandlery.lake.store import Lake
from chandlery.publishing.publish import publish_together
from chandlery.publishing.retract import Retraction
from chandlery.quality.findings import Finding, list_findings
from chandlery.quality.suspect_findings import HAS_OTHER_VALUES, IS_GONE, NEXT_BAR, OTHERS_CHANGED, record_suspects
from chandlery.quality.suspects import DAILY, INTRADAY, PAST, Prices, find_suspects
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.warehouse import Warehouse
from tests.integration.test_cli import Run, after_init, line_of, ready, write_days  # noqa: F401 - fixtures
from tests.support import Bar, register, table, utc

D1, M1 = Timeframe.D1, Timeframe.M1
START = utc("2024-01-01")
DAY = timedelta(days=1)
SOURCE = "test:one"


@pytest.fixture
def ids(warehouse: Warehouse) -> dict[str, int]:
    return register(warehouse, {"AAA": "24/7"})


def calm(
    count: int, *, start: datetime = START, width: timedelta = DAY, seed: int = 3, sigma: float = 0.01
) -> list[Bar]:
    """Bars that go up and down by about ``sigma``."""
    close = 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, sigma, count)))
    return [
        Bar("AAA", start + n * width, open=c, high=c * 1.005, low=c * 0.995, close=c, volume=1000.0)
        for n, c in enumerate(close.tolist())
    ]


def false_close(bar: Bar, factor: float = 1.2) -> Bar:
    close = value(bar, "close") * factor
    return bar._replace(close=close, high=max(value(bar, "high"), close), low=min(value(bar, "low"), close))


def scaled(bar: Bar, factor: float) -> Bar:
    opened, high, low, close = (value(bar, name) * factor for name in ("open", "high", "low", "close"))
    return bar._replace(open=opened, high=high, low=low, close=close)


def value(bar: Bar, name: str) -> float:
    return float(getattr(bar, name))


def false_low(bar: Bar) -> Bar:
    return bar._replace(low=10.37)


def put(warehouse: Warehouse, bars: Sequence[Bar], ended: Sequence[datetime] = (), timeframe: Timeframe = D1) -> None:
    """Publish bars and end others, and record what is suspect, as an ingest does."""
    retracted = {timeframe: Retraction(SOURCE, [("AAA", ts) for ts in ended])} if ended else {}
    with warehouse.connection() as connection, connection.transaction():
        reports = publish_together(connection, warehouse, {timeframe: table(bars)}, retracted=retracted)
        record_suspects(connection, warehouse, timeframe, reports[timeframe].changes)


def findings(warehouse: Warehouse) -> dict[datetime, Finding]:
    with warehouse.connection() as connection:
        return {each.start: each for each in list_findings(connection, state=None)}


def states(warehouse: Warehouse) -> dict[datetime, str]:
    return {start: each.state for start, each in findings(warehouse).items() if each.state != "dismissed"}


def expected(bars: Sequence[Bar], timeframe: Timeframe = D1) -> dict[datetime, str]:
    """Return what the rule says of all bars at once."""
    ordered = sorted(bars, key=lambda bar: bar.ts)
    prices = Prices(
        *(
            np.array([getattr(bar, name) for bar in ordered], float)
            for name in ("open", "high", "low", "close", "volume")
        )
    )
    found = find_suspects(prices, INTRADAY if timeframe is M1 else DAILY)
    return {ordered[n].ts: "confirmed" for n in found.confirmed} | {ordered[n].ts: "open" for n in found.open}


def row(bar: Bar) -> str:
    return f"{bar.ts:%Y-%m-%d},{bar.open:.4f},{bar.high:.4f},{bar.low:.4f},{bar.close:.4f},1000"


class TestFiles:
    def suspects(self, run: Run) -> list[tuple[str, str, str]]:
        found = json.loads(run("findings", "list", "--rule", "suspect_print", "--all", "--json").stdout)
        return [(each["start"][:10], each["state"], each["changed_at"]) for each in found]

    def test_a_confirmed_false_print_stays_confirmed_whatever_else_a_file_holds(
        self,
        ready: Run,  # noqa: F811
        tmp_path: Path,
    ) -> None:
        bars = calm(300)
        bars[100], bars[200] = false_low(bars[100]), false_close(bars[200])
        rows = [row(bar) for bar in bars]

        def ingest(lines: Sequence[str], *more: str) -> list[str]:
            folder = str(write_days(tmp_path, "AAA", lines))
            how = ["ingest", "AAA", "--path", folder, "--calendar", "24/7", "--yes", *more]
            return line_of(ready(*how), "total").split()

        ingest(rows)
        confirmed = self.suspects(ready)
        assert [each[:2] for each in confirmed] == [("2024-04-10", "confirmed"), ("2024-07-19", "confirmed")]
        impossible = rows[100].replace("10.3700", "999")
        for lines in (
            [rows[50], rows[250]],  # two others
            [*rows[:100], *rows[101:]],  # without it
            [impossible if line == rows[100] else line for line in rows[::2]],  # it is impossible now; the bar stays
        ):
            ingest(lines)
            assert self.suspects(ready) == confirmed
        assert "retracted=1" in ingest([*rows[:100], *rows[101:]], "--retract")
        gone, other = json.loads(ready("findings", "list", "--rule", "suspect_print", "--all", "--json").stdout)
        assert (gone["state"], gone["reason"], other["state"]) == ("dismissed", IS_GONE, "confirmed")


@pytest.mark.parametrize("seed", range(2))
def test_in_whatever_parts_and_order_bars_come_the_same_are_suspect(
    warehouse: Warehouse, ids: dict[str, int], seed: int
) -> None:
    random = np.random.default_rng(seed)
    bars = calm(400, seed=seed)
    for place in random.choice(np.arange(5, 399), 24, replace=False).tolist():
        bars[place] = (
            false_low(bars[place]) if random.random() < 0.5 else false_close(bars[place], random.uniform(0.85, 1.2))
        )
    assert list(expected(bars).values()).count("confirmed") > 10
    stored: dict[datetime, Bar] = {}
    for part in np.array_split(random.permutation(400), 12):
        chosen = [bars[place] for place in part.tolist()]
        stored |= {bar.ts: bar for bar in chosen}
        put(warehouse, chosen)
        assert states(warehouse) == expected(list(stored.values()))
    for _ in range(6):  # other values, and bars that end
        places = random.permutation(400)[:12].tolist()
        chosen = [false_close(bars[place], 1.07) for place in places[:8]]
        ended = [bars[place].ts for place in places[8:] if bars[place].ts in stored]
        stored |= {bar.ts: bar for bar in chosen}
        stored = {ts: bar for ts, bar in stored.items() if ts not in ended}
        put(warehouse, chosen, ended)
        assert states(warehouse) == expected(list(stored.values()))


def test_a_price_that_is_not_above_zero_clears_no_print_that_is_far_from_it(
    warehouse: Warehouse, ids: dict[str, int]
) -> None:
    bars = calm(300)
    bars[100] = false_low(bars[100])
    put(warehouse, bars)
    put(warehouse, [bars[200]._replace(low=-1.0)])
    assert states(warehouse) == {bars[100].ts: "confirmed"}
    put(warehouse, [bars[90]._replace(low=-1.0)])  # nothing can be said of what is usual there
    assert states(warehouse) == {}
    assert findings(warehouse)[bars[100].ts].reason == OTHERS_CHANGED


def other_values(bars: list[Bar]) -> tuple[list[Bar], list[datetime]]:
    return [calm(81)[70]], []


def flat(bar: Bar, price: float | None) -> Bar:
    return bar._replace(open=price, high=price, low=price, close=price)


def next_goes_on(bars: list[Bar]) -> tuple[list[Bar], list[datetime]]:
    return [flat(bar, bars[70].close) for bar in bars[71:]], []


def it_ends(bars: list[Bar]) -> tuple[list[Bar], list[datetime]]:
    return [], [bars[70].ts]


@pytest.mark.parametrize(
    ("change", "reason"),
    [(other_values, HAS_OTHER_VALUES), (next_goes_on, OTHERS_CHANGED), (it_ends, IS_GONE)],
    ids=["values", "neighbours", "ended"],
)
def test_a_confirmed_one_is_cleared_where_the_rule_holds_no_longer_and_says_why(
    warehouse: Warehouse,
    ids: dict[str, int],
    change: Callable[[list[Bar]], tuple[list[Bar], list[datetime]]],
    reason: str,
) -> None:
    bars = calm(80)
    bars[70] = false_close(bars[70])
    put(warehouse, bars)
    assert states(warehouse) == {bars[70].ts: "confirmed"}
    put(warehouse, *change(bars))
    finding = findings(warehouse)[bars[70].ts]
    assert (finding.state, finding.closed_by, finding.reason) == ("dismissed", "gate", reason)


def test_without_its_next_bar_a_confirmed_one_is_open_again(warehouse: Warehouse, ids: dict[str, int]) -> None:
    bars = calm(72)
    bars[70] = false_close(bars[70])
    put(warehouse, bars)
    put(warehouse, [], [bars[71].ts])
    assert states(warehouse) == {bars[70].ts: "open"}
    put(warehouse, [flat(bars[71], bars[70].close)])
    assert findings(warehouse)[bars[70].ts].reason == NEXT_BAR


def test_what_is_usual_is_that_of_the_sixty_bars_before(warehouse: Warehouse, ids: dict[str, int]) -> None:
    bars = calm(80, sigma=0.005)
    for place in range(0, 40, 2):  # to and fro by 5 % at first
        bars[place] = scaled(bars[place], 1.05)
    bars[64] = false_close(bars[64], 1.09)
    assert expected(bars) == {}
    assert expected(bars[64 - PAST // 2 :]) == {bars[64].ts: "confirmed"}  # of fewer bars it would be
    put(warehouse, bars[:64])
    for bar in bars[64:]:
        put(warehouse, [bar])
    assert states(warehouse) == {}


@pytest.mark.parametrize("shown", [0.4, 0.6], ids=["less", "more"])
def test_a_low_stands_alone_if_the_next_one_goes_less_than_half_as_far(
    warehouse: Warehouse, ids: dict[str, int], shown: float
) -> None:
    bars = calm(80)
    base = min(value(bars[69], "close"), value(bars[70], "close"))
    bars[70] = bars[70]._replace(low=base * 0.5)
    bars[71] = bars[71]._replace(low=base * 0.5**shown)
    put(warehouse, bars)
    assert (states(warehouse).get(bars[70].ts) == "confirmed") == (shown < 0.5)


@pytest.mark.every_edition
def test_neighbours_that_left_the_store_are_read_from_the_lake(warehouse: Warehouse, tmp_path: Path) -> None:
    tiered = Warehouse(warehouse.database, Lake(tmp_path / "lake"))
    register(tiered, {"AAA": "24/7"})
    starts = [utc(f"2024-0{month}-01") for month in (1, 2, 3)]
    months = [calm(90, start=start, width=timedelta(minutes=1), sigma=0.0002, seed=n) for n, start in enumerate(starts)]
    january, february, march = months
    january[-1] = false_close(january[-1], 1.3)
    march[0] = false_low(march[0])
    bars = [*january, *february, *march]
    put(tiered, bars, timeframe=M1)
    confirmed = expected(bars, M1)
    assert set(confirmed.values()) == {"confirmed"}
    assert {january[-1].ts, march[0].ts} <= set(confirmed)
    assert states(tiered) == confirmed
    with tiered.connection() as connection:
        due = find_due(connection, M1, utc("2024-06-01"))
    list(archive(tiered, due))
    assert apply_retention(tiered, M1, utc("2024-06-01"), now=utc("2030-01-01")).refused == []
    # A correction between two months that are in the lake alone brings back its own.
    february[0] = february[0]._replace(volume=2000.0)
    february[-1] = february[-1]._replace(volume=2000.0)
    put(tiered, [february[0], february[-1]], timeframe=M1)
    assert states(tiered) == confirmed
    february[0] = flat(february[0], january[-1].close)  # the month goes on where the false close was
    put(tiered, [february[0]], timeframe=M1)
    assert states(tiered) == expected([*january, *february, *march], M1)
    assert findings(tiered)[january[-1].ts].reason == OTHERS_CHANGED
    # Where neighbours cannot be read, nobody is judged, and publishing goes on.
    for file in (tmp_path / "lake").rglob("*.parquet"):
        file.unlink()
    before = states(tiered)
    put(tiered, [february[0]._replace(volume=3000.0), false_low(february[-1])], timeframe=M1)
    assert states(tiered) == before
