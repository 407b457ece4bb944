"""False prints: marked, confirmed or cleared by the next bar, and left out of reads that ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from benchmarks.suspects import other_days, plant_closes, plant_lows, sample_days, score
from chandlery.api.data import DataAPI
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import EVER
from chandlery.errors import UsageError
from chandlery.publishing.publish import publish as publish_bars
from chandlery.quality.findings import Finding, dismiss, list_findings
from chandlery.quality.suspect_findings import record_suspects
from chandlery.quality.suspects import DAILY, Prices, find_suspects
from chandlery.rollups.refresh import catch_up
from chandlery.tiers.warehouse import Warehouse
from tests.conftest import NO_SHARED_DATA
from tests.support import Bar, every_row, instruments_of, register, table, utc

D1 = Timeframe.D1
START = utc("2024-01-01")
DAYS = 80


@pytest.fixture
def ids(warehouse: Warehouse) -> dict[str, int]:
    return register(warehouse, {"AAA": "24/7"})


def days(count: int = DAYS) -> list[Bar]:
    """Days that go up and down by about 1 %."""
    close = 100 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.01, count)))
    return [
        Bar("AAA", START + timedelta(days=n), open=c, high=c * 1.005, low=c * 0.995, close=c, volume=1000.0)
        for n, c in enumerate(close.tolist())
    ]


def publish(warehouse: Warehouse, ids: dict[str, int], bars: Sequence[Bar]) -> None:
    with warehouse.connection() as connection, connection.transaction():
        report = publish_bars(connection, warehouse, D1, table(bars))
        record_suspects(connection, warehouse, D1, report.changes)


def findings(warehouse: Warehouse) -> list[Finding]:
    with warehouse.connection() as connection:
        return list_findings(connection, state=None)


def false_close(bar: Bar, factor: float = 1.2) -> Bar:
    return bar._replace(close=bar.close * factor, high=max(bar.high, bar.close * factor))


def read(warehouse: Warehouse, **how: object) -> list[datetime]:
    frame = DataAPI(warehouse).get_ohlc("AAA", START, START + timedelta(days=DAYS), **how)  # type: ignore[call-overload]
    return [stamp.to_pydatetime() for stamp in frame.index]


def test_the_next_bar_confirms_a_false_print_which_stays_and_is_left_out_on_request(
    warehouse: Warehouse, ids: dict[str, int]
) -> None:
    bars = days()
    bars[70] = false_close(bars[70])
    publish(warehouse, ids, bars[:71])
    (finding,) = findings(warehouse)
    assert (finding.rule, finding.state, finding.start) == ("suspect_print", "open", bars[70].ts)
    assert len(read(warehouse, exclude_suspect=True)) == 71  # it may be a real move
    publish(warehouse, ids, bars[71:72])
    (finding,) = findings(warehouse)
    assert (finding.state, finding.closed_by) == ("confirmed", "gate")
    publish(warehouse, ids, bars[72:])
    before = [row for name, rows in every(warehouse).items() if name == "ops.finding" for row in rows]
    publish(warehouse, ids, bars)
    assert [row for name, rows in every(warehouse).items() if name == "ops.finding" for row in rows] == before
    assert len(read(warehouse)) == DAYS
    assert read(warehouse, exclude_suspect=True) == [bar.ts for bar in bars if bar is not bars[70]]
    assert read(warehouse, exclude_suspect=True, limit=11)[:2] == [bars[68].ts, bars[69].ts]
    # Another value of the bar is another print.
    publish(warehouse, ids, [days()[70]])
    assert len(read(warehouse, exclude_suspect=True)) == DAYS
    assert {finding.state for finding in findings(warehouse)} == {"dismissed"}


def test_wider_bars_are_made_of_the_bars_that_are_left(warehouse: Warehouse, ids: dict[str, int]) -> None:
    bars = days()
    publish(warehouse, ids, bars)
    list(catch_up(warehouse, D1, list(instruments_of(warehouse).values()), *EVER))
    api, span = DataAPI(warehouse), (START - timedelta(days=40), START + timedelta(days=DAYS))
    widths, prices = ("1w", "1mo", "3d", "2w"), ["open", "high", "low", "close", "volume"]
    right = {width: api.get_ohlc("AAA", *span, width, columns=prices, exclude_suspect=True) for width in widths}
    for width in widths:
        pd.testing.assert_frame_equal(right[width], api.get_ohlc("AAA", *span, width, columns=prices))
    learned = datetime.now(UTC)
    false = false_close(bars[70])
    publish(warehouse, ids, [*bars[:70], false, *bars[71:]])
    list(catch_up(warehouse, D1, list(instruments_of(warehouse).values()), *EVER))
    (finding,) = findings(warehouse)
    assert finding.state == "confirmed"
    without = pd.DataFrame([bar for bar in bars if bar is not bars[70]]).set_index("ts")
    for width in widths:
        every_bar = api.get_ohlc("AAA", *span, width)
        left = api.get_ohlc("AAA", *span, width, exclude_suspect=True)
        assert every_bar["high"].max() == false.high
        assert left["high"].max() == without["high"].max()
        assert left["volume"].sum() == without["volume"].sum()
        assert len(left) == len(every_bar)
        tail = api.get_ohlc("AAA", *span, width, exclude_suspect=True, limit=3)
        pd.testing.assert_frame_equal(tail, left.iloc[-3:])
        before = api.get_ohlc("AAA", *span, width, columns=prices, exclude_suspect=True, as_of=learned)
        pd.testing.assert_frame_equal(before, right[width])
    with pytest.raises(UsageError, match="final_only=True is not known"):
        read(warehouse, timeframe="1w", exclude_suspect=True, final_only=True)


def every(warehouse: Warehouse) -> dict[str, list[str]]:
    with warehouse.connection() as connection:
        return every_row(connection)


def test_a_crash_is_marked_and_cleared(warehouse: Warehouse, ids: dict[str, int]) -> None:
    bars = days()
    fallen = [bar._replace(**{n: getattr(bar, n) * 0.6 for n in ("open", "high", "low", "close")}) for bar in bars[70:]]
    publish(warehouse, ids, [*bars[:70], fallen[0]])
    (finding,) = findings(warehouse)
    assert finding.state == "open"
    publish(warehouse, ids, fallen[1:3])
    (finding,) = findings(warehouse)
    assert (finding.state, finding.closed_by) == ("dismissed", "gate")


def test_what_a_person_dismissed_stays_dismissed(warehouse: Warehouse, ids: dict[str, int]) -> None:
    bars = days()
    bars[70] = false_close(bars[70])
    publish(warehouse, ids, bars)
    (finding,) = findings(warehouse)
    with warehouse.connection() as connection:
        dismiss(connection, finding.finding_id, "a real one", by="Ann")
    publish(warehouse, ids, bars)
    (finding,) = findings(warehouse)
    assert (finding.state, finding.closed_by) == ("dismissed", "Ann")
    assert len(read(warehouse, exclude_suspect=True)) == DAYS


@pytest.mark.parametrize("price", [0.01, 1.0, 10.0])
@pytest.mark.parametrize("columns", [("low",), ("low", "open")], ids=str)
def test_lone_lows_and_opens_are_found(
    warehouse: Warehouse, ids: dict[str, int], price: float, columns: tuple[str, ...]
) -> None:
    bars = days()
    bars[70] = bars[70]._replace(**dict.fromkeys(columns, price))
    publish(warehouse, ids, bars)
    assert [(finding.start, finding.state) for finding in findings(warehouse)] == [(bars[70].ts, "confirmed")]


@pytest.mark.parametrize("source", [sample_days, other_days], ids=["sample", "others"])
def test_planted_prints_are_found_and_no_real_move_of_more_than_a_tenth_is_taken_for_one(
    source: Callable[[], dict[str, Prices]],
) -> None:
    days = source()
    if not days:
        pytest.skip(NO_SHARED_DATA)
    closes = [score(days, plant_closes, seed) for seed in range(10)]
    assert np.mean([each.recall for each in closes]) >= 0.86
    assert np.mean([each.precision for each in closes]) >= 0.93
    assert {each.flagged for each in closes} == {0}
    assert {each.real for each in closes} == {51 if source is sample_days else 42}
    lows = [score(days, plant_lows, seed) for seed in range(3)]
    assert np.mean([each.recall for each in lows]) >= 0.95


def test_real_false_prints_are_found_and_weeks_of_panic_are_not() -> None:
    days = other_days()
    if not days:
        pytest.skip(NO_SHARED_DATA)
    found = {name: find_suspects(each, DAILY).confirmed.tolist() for name, each in days.items()}
    lows = {name: [round(float(days[name].low[place]), 2) for place in places] for name, places in found.items()}
    assert {10.59, 25.3, 32.65} <= set(lows["AAPL"])  # of days on which it traded for more than 180
    assert {round(float(days["SPY"].high[place]), 2) for place in found["SPY"]} >= {144.12, 124.67, 120.52}
    assert sum(map(len, found.values())) <= 10


def test_a_panic_in_which_every_day_takes_back_the_one_before_is_real(
    warehouse: Warehouse, ids: dict[str, int]
) -> None:
    bars = days()
    for place in range(68, 76):  # down by a tenth and up again, with much volume
        factor = 0.9 if place % 2 == 0 else 1.0
        values = {name: getattr(bars[place], name) * factor for name in ("open", "high", "low", "close")}
        bars[place] = bars[place]._replace(**values, volume=4000.0)
    publish(warehouse, ids, bars)
    assert {finding.state for finding in findings(warehouse)} <= {"dismissed"}


def test_a_move_that_the_next_open_goes_on_from_is_real(warehouse: Warehouse, ids: dict[str, int]) -> None:
    bars = days()
    low = bars[70].close * 0.88
    bars[70] = bars[70]._replace(close=low, low=low)
    bars[71] = bars[71]._replace(open=low * 1.01, low=low)  # and back by its close
    publish(warehouse, ids, bars)
    assert {finding.state for finding in findings(warehouse)} <= {"dismissed"}
