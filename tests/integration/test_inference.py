"""Frames for models, case by case: what is in them, and what is not."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

import pandas as pd
import pytest

from chandlery.api.data import DataAPI
from chandlery.core.timeframe import Timeframe
from chandlery.errors import UsageError
from chandlery.tiers.warehouse import Warehouse
from tests.support import Bar, put, register, utc

DAY = "2024-11-26T"
MOMENT = utc(f"{DAY}15:00:30")


@pytest.fixture
def api(warehouse: Warehouse) -> DataAPI:
    register(warehouse, {"AAA": "XNYS", "BBB": "XNYS"})
    return DataAPI(warehouse)


def minute(clock: str, close: float, symbol: str = "AAA") -> Bar:
    return Bar(symbol, utc(f"{DAY}{clock}"), close=close, high=99.0, low=1.0)


def learn(warehouse: Warehouse, at: str | datetime, *bars: Bar, timeframe: Timeframe = Timeframe.M1) -> None:
    put(warehouse, timeframe, bars, now=utc(f"{DAY}{at}") if isinstance(at, str) else at)


def closes(frame: pd.DataFrame) -> list[float]:
    return list(frame["close"])


def test_a_bar_belongs_once_it_ended_and_was_learned(warehouse: Warehouse, api: DataAPI) -> None:
    learn(warehouse, "14:59:10", minute("14:57", 1), minute("14:58", 2))
    learn(warehouse, "15:00:10", minute("14:58", 3), minute("14:59", 4), minute("15:00", 5))
    learn(warehouse, "15:01:10", minute("15:00", 6))

    def known(clock: str) -> list[float]:
        return closes(api.get_multi_timeframe_data("AAA", ["1min"], f"{DAY}{clock}Z")["1m"])

    assert known("14:59:09") == []
    assert known("14:59:10") == [1, 2]
    assert known("15:00:09") == [1, 2]
    assert known("15:00:10") == [1, 3, 4]
    assert known("15:00:59") == [1, 3, 4]
    assert known("15:01:00") == [1, 3, 4, 5]
    assert known("15:01:10") == [1, 3, 4, 6]
    assert closes(api.get_multi_timeframe_data("AAA", ["1m"])["1m"]) == [1, 3, 4, 6]
    assert closes(api.get_multi_timeframe_data("AAA", ["1m"], limit=1)["1m"]) == [6]


def test_a_day_ends_with_its_session(warehouse: Warehouse, api: DataAPI) -> None:
    days = [Bar("AAA", utc("2024-11-25"), close=1.0, low=0.5), Bar("AAA", utc("2024-11-26"), close=2.0, low=0.5)]
    put(warehouse, Timeframe.D1, days, now=utc(f"{DAY}09:00"))
    assert closes(api.get_multi_timeframe_data("AAA", ["1d"], f"{DAY}20:59:59Z")["1d"]) == [1]
    assert closes(api.get_multi_timeframe_data("AAA", ["1d"], f"{DAY}21:00:00Z")["1d"]) == [1, 2]
    assert closes(api.get_multi_timeframe_data("AAA", ["1d"], f"{DAY}20:59:59Z", 1)["1d"]) == [1]


def test_a_frame_says_what_it_is(warehouse: Warehouse, api: DataAPI) -> None:
    learn(warehouse, "15:00:10", *[minute(f"14:{n}", n) for n in range(50, 60)])
    put(warehouse, Timeframe.D1, [Bar("AAA", utc("2024-11-25"), close=9.5)], now=utc("2024-11-25T22:00"))
    learn(warehouse, "15:02:10", minute("15:00", 60), minute("15:01", 61))
    frame = api.get_inference_data("AAA", MOMENT, 5, ["1m", "1d"], ["SMA_3"], context_after_minutes=2, limit=4)
    assert (frame.symbol, frame.timestamp, frame.knowledge) == ("AAA", MOMENT, "as_learned")
    assert closes(frame.bars["1m"]) == [56, 57, 58, 59]
    assert frame.indicators["1m"]["SMA_3"].tolist() == [55, 56, 57, 58]
    assert closes(frame.context) == [56, 57, 58, 59]
    assert closes(frame.after) == [60, 61]
    assert frame.get_latest_price() == 59
    assert frame.available_at["bars.1m"] == utc(f"{DAY}15:00:10")
    assert frame.available_at["bars.1d"] == utc("2024-11-25T22:00")
    assert frame.data_source == {"1m": "store", "1d": "store"}
    assert frame.query_latency_ms > 0
    assert (frame.book, frame.trades, frame.imbalances) == (None, None, None)
    assert isinstance(frame.context, pd.DataFrame)
    assert str(frame.context.index.dtype) == "datetime64[us, UTC]"
    with pytest.raises(AttributeError):
        frame.symbol = "BBB"  # type: ignore[misc]
    assert api.get_inference_data("AAA", MOMENT, timeframes=["1m"]).after is None


def test_history_that_was_loaded_later_is_seen_as_published_and_that_is_said(
    warehouse: Warehouse, api: DataAPI
) -> None:
    loaded, restated = utc("2025-01-01"), utc("2025-01-02")
    learn(warehouse, "15:00:10", minute("14:59", 4, "BBB"))
    learn(warehouse, loaded, minute("14:58", 1), minute("14:59", 2), minute("15:00", 3))
    learn(warehouse, restated, minute("14:59", 7))
    frames = api.get_inference_data(["AAA", "BBB"], MOMENT, timeframes=["1m"])
    assert closes(frames["AAA"].context) == [1, 2]  # what was known first
    assert (frames["AAA"].knowledge, frames["BBB"].knowledge) == ("as_published", "as_learned")
    assert frames["AAA"].available_at["context"] == utc(f"{DAY}15:00")
    late = api.get_inference_data("AAA", MOMENT, timeframes=["1m"], latency=timedelta(seconds=31))
    assert closes(late.context) == [1]
    late = api.get_inference_data("AAA", MOMENT, timeframes=["1m"], latency=timedelta(seconds=31), limit=1)
    assert closes(late.bars["1m"]) == [1]
    strict = api.get_inference_data("AAA", MOMENT, timeframes=["1m"], knowledge="as_learned")
    assert closes(strict.context) == []
    with pytest.raises(UsageError, match="nothing was known of AAA at 2024-11-26T15:00:30"):
        strict.get_latest_price()


def test_a_symbol_without_minutes_has_an_empty_context(warehouse: Warehouse, api: DataAPI) -> None:
    with warehouse.connection() as connection:
        connection.execute("UPDATE market.instrument SET timeframes = '{1d}'")
    put(warehouse, Timeframe.D1, [Bar("AAA", utc("2024-11-25"), close=9.5)], now=utc("2024-11-25T22:00"))
    frame = api.get_inference_data("AAA", MOMENT, timeframes=["1d"], context_after_minutes=1)
    assert closes(frame.context) == closes(frame.after) == []
    assert frame.get_latest_price() == 9.5


def test_indicators_of_a_frame_are_those_of_a_read(warehouse: Warehouse, api: DataAPI) -> None:
    chance = Random(3)
    bars = []
    for symbol in ("AAA", "BBB"):
        for day in (22, 25, 26):
            for n in range(0, 390, 1 if symbol == "AAA" else 3):
                close = round(chance.uniform(90, 110), 2)
                ts = utc(f"2024-11-{day}T14:30") + timedelta(minutes=n)
                bars.append(Bar(symbol, ts, close, close + 1, close - 1, close, float(chance.randint(1, 99)), close))
    put(warehouse, Timeframe.M1, bars, now=utc("2024-11-26T21:00"))
    wanted = ["SMA_20", "EMA_9", "RSI_5", "VWAP", "OBV", "MACD_12_26_9"]
    frames = api.get_inference_data(["AAA", "BBB"], timeframes=["1m", "7m"], indicators=wanted, limit=70)
    for symbol, frame in frames.items():
        for name in ("1m", "7m"):
            read = api.get_ohlc_with_indicators(symbol, timeframe=name, indicators=wanted, limit=70)
            found = frame.indicators[name]
            pd.testing.assert_frame_equal(found, read[list(found.columns)], rtol=1e-8)
            assert list(frame.bars[name].index) == list(found.index)
