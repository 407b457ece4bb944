"""Bars of any width and of any hours, case by case."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chandlery.api.data import DataAPI
from chandlery.core.timeframe import Timeframe
from chandlery.instruments.registry import list_instruments
from chandlery.rollups.refresh import catch_up
from chandlery.tiers.warehouse import Warehouse
from tests.support import EVER, Bar, put, register, utc

pytestmark = pytest.mark.every_edition

#: The half day after Thanksgiving opens at 14:30 and closes at 18:00 UTC.
HALF_DAY = utc("2024-11-29")


@pytest.fixture
def api(warehouse: Warehouse) -> DataAPI:
    register(warehouse, {"AAA": "XNYS", "TYO": "XTKS"})
    return DataAPI(warehouse)


def derive(warehouse: Warehouse) -> None:
    with warehouse.connection() as connection:
        instruments = list_instruments(connection)
    for base in (Timeframe.M1, Timeframe.D1):
        list(catch_up(warehouse, base, instruments, *EVER))


def at(clock: str, close: float = 11.0, symbol: str = "AAA", volume: float | None = 100.0) -> Bar:
    return Bar(symbol, utc(f"2024-11-29T{clock}"), close=close, high=99.0, low=1.0, volume=volume)


def starts(api: DataAPI, width: str, **options: object) -> list[str]:
    bars = api.get_ohlc(str(options.pop("symbol", "AAA")), timeframe=width, columns=["close"], **options)  # type: ignore[call-overload]
    return [f"{ts:%H:%M} {close:g}" for ts, close in bars["close"].items()]


def test_bars_of_the_regular_session_are_made_of_it_alone(warehouse: Warehouse, api: DataAPI) -> None:
    put(
        warehouse,
        Timeframe.M1,
        [at(clock, n) for n, clock in enumerate(["14:10", "14:29", "14:30", "15:10", "17:59", "18:00"])],
    )
    derive(warehouse)
    assert starts(api, "1h") == ["14:00 2", "15:00 3", "17:00 4", "18:00 5"]
    assert starts(api, "1h", session="regular") == ["14:00 2", "15:00 3", "17:00 4"]
    assert starts(api, "1h", session="extended") == ["14:00 1", "18:00 5"]
    assert starts(api, "1h", session="regular", anchor="session") == ["14:30 3", "17:30 4"]
    assert starts(api, "90m", anchor="session", session="regular") == ["14:30 3", "17:30 4"]
    assert starts(api, "1m", session="regular", limit=2) == ["15:10 3", "17:59 4"]
    states = api.get_ohlc("AAA", timeframe="1m", session="extended", columns=["state"])["state"]
    assert len(states) == 3


def test_a_break_is_no_regular_time(warehouse: Warehouse, api: DataAPI) -> None:
    clocks = ["00:00", "02:29", "02:30", "03:29", "03:30", "05:59"]
    put(warehouse, Timeframe.M1, [at(clock, n, "TYO") for n, clock in enumerate(clocks)])
    derive(warehouse)
    assert starts(api, "1h", symbol="TYO", session="regular") == ["00:00 0", "02:00 1", "03:00 4", "05:00 5"]
    assert starts(api, "1h", symbol="TYO", session="extended") == ["02:00 2", "03:00 3"]


def test_a_period_is_whole_and_counts_by_its_start(warehouse: Warehouse, api: DataAPI) -> None:
    put(warehouse, Timeframe.M1, [at(clock, n) for n, clock in enumerate(["14:00", "15:59", "16:00", "17:59"])])
    derive(warehouse)
    day = "2024-11-29T"
    assert starts(api, "2h", start=f"{day}14:00Z", end=f"{day}16:00Z") == ["14:00 1"]
    assert starts(api, "2h", start=f"{day}14:01Z", end=f"{day}16:01Z") == ["16:00 3"]
    assert starts(api, "2h", start=f"{day}15:00Z", end=f"{day}16:00Z") == []


def test_a_bar_is_known_since_its_last_base_bar_is(warehouse: Warehouse, api: DataAPI) -> None:
    learned = [utc("2024-12-01"), utc("2024-12-02"), utc("2024-12-03")]
    days = [Bar("AAA", HALF_DAY + timedelta(days=n), close=9.5) for n in (-4, -3, 0)]
    for now, bar in zip(learned, days, strict=True):
        put(warehouse, Timeframe.D1, [bar], now=now)
    three = api.get_ohlc("AAA", timeframe="10d", columns=["known_at", "volume"])
    assert three["known_at"].tolist()[-1] == learned[2]
    earlier = api.get_ohlc("AAA", timeframe="10d", columns=["known_at", "volume"], as_of=learned[1])
    assert earlier["known_at"].max() == learned[1]
    assert earlier["volume"].sum() == 200
    assert api.get_ohlc("AAA", timeframe="10d", as_of=learned[0] - timedelta(seconds=1)).empty


def test_a_volume_that_is_not_known_poisons_nothing(warehouse: Warehouse, api: DataAPI) -> None:
    put(
        warehouse,
        Timeframe.M1,
        [at("15:00", volume=None), at("15:01"), at("15:02", volume=7.0), at("17:00", volume=None)],
    )
    derive(warehouse)
    made = api.get_ohlc("AAA", timeframe="2h", columns=["volume"])["volume"].tolist()
    assert made[0] == 107
    assert made[1] != made[1]


def test_a_wide_bar_is_labelled_by_its_first_session(warehouse: Warehouse, api: DataAPI) -> None:
    put(
        warehouse,
        Timeframe.D1,
        [Bar("AAA", utc(day)) for day in ("2024-01-03", "2024-05-28", "2024-09-12", "2024-09-13")],
    )
    derive(warehouse)
    labels = {
        width: [str(ts.date()) for ts in api.get_ohlc("AAA", timeframe=width, columns=[]).index]
        for width in ("1q", "1y", "2w")
    }
    assert labels["1q"] == ["2024-01-02", "2024-04-01", "2024-07-01"]
    assert labels["1y"] == ["2024-01-02"]
    assert labels["2w"] == ["2024-01-02", "2024-05-20", "2024-09-09"]
    assert len(api.get_ohlc("AAA", "2024-01-02", "2024-01-03", "yearly")) == 1
    assert api.get_ohlc("AAA", "2024-01-03", "2024-12-31", "yearly").empty
