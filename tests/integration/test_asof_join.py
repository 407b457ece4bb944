"""Bars beside a caller's rows: for each, the last bar that was known at its time."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from chandlery.api.data import DataAPI
from chandlery.core.timeframe import Timeframe
from chandlery.errors import UnknownSymbolError, UsageError
from chandlery.tiers.warehouse import Warehouse
from tests.support import Bar, put, register, utc

DAY = "2024-11-26T"
MINUTES = {"AAA": ["14:31", "14:32", "14:35"], "BBB": ["14:30", "14:34"]}


@pytest.fixture
def api(warehouse: Warehouse) -> DataAPI:
    register(warehouse, {"AAA": "XNYS", "BBB": "XNYS"})
    bars = [
        Bar(symbol, utc(f"{DAY}{clock}"), close=float(clock[-2:]), high=99.0, low=1.0, trades=None)
        for symbol, clocks in MINUTES.items()
        for clock in clocks
    ]
    put(warehouse, Timeframe.M1, bars, now=utc("2025-01-01"))
    put(warehouse, Timeframe.D1, [Bar("AAA", utc("2024-11-25"), close=9.5), Bar("AAA", utc("2024-11-26"))])
    return DataAPI(warehouse)


def left(*clocks: str, **columns: Any) -> pd.DataFrame:  # noqa: ANN401 - a table's columns
    times = pd.to_datetime([f"{DAY}{clock}Z" for clock in clocks], format="ISO8601")
    return pd.DataFrame({"ts": times, "row": range(len(clocks)), **columns})


def closes(joined: pd.DataFrame) -> list[float | None]:
    return [None if np.isnan(value) else value for value in joined["close"]]


def test_a_bar_counts_from_the_instant_at_which_it_ends(api: DataAPI) -> None:
    rows = left("14:31:59.999999", "14:32:00", "14:32:59.9", "14:33", "14:35:59", "14:36", "23:00", "14:00")
    assert closes(api.asof_join(rows, "AAA")) == [None, 31, 31, 32, 32, 35, 35, None]
    late = api.asof_join(rows, "AAA", latency=timedelta(seconds=1))
    assert closes(late) == [None, None, 31, 31, 32, 32, 35, None]
    assert closes(api.asof_join(rows, "AAA", knowledge="as_learned")) == [None] * 8
    young = api.asof_join(rows, "AAA", tolerance=timedelta(seconds=60))
    assert closes(young) == [None, 31, 31, 32, None, 35, None, None]


def test_a_day_is_known_at_its_close(api: DataAPI) -> None:
    rows = left("14:30", "20:59:59", "21:00")
    joined = api.asof_join(rows, "AAA", timeframe="1d", columns=["ts", "close", "source"], prefix="day_")
    assert joined["day_close"].tolist() == [9.5, 9.5, 11]
    assert joined["day_ts"].tolist() == [utc("2024-11-25"), utc("2024-11-25"), utc("2024-11-26")]
    assert joined["day_source"].tolist() == ["test:one"] * 3
    assert list(joined.columns) == ["ts", "row", "day_ts", "day_close", "day_source"]


def test_rows_in_any_order_of_several_symbols_keep_their_place(api: DataAPI) -> None:
    rows = left("14:36", "14:33", "14:36", "14:36", "14:33", symbol=["AAA", "BBB", "BBB", None, "AAA"])
    rows = rows.set_index(pd.Index([9, 7, 7, 1, 3], name="mine"))
    before = rows.copy(deep=True)
    joined = api.asof_join(rows, by="symbol", columns=["close", "trades"])
    assert closes(joined) == [35, 30, 34, None, 32]
    pd.testing.assert_frame_equal(joined[["ts", "row", "symbol"]], before)
    pd.testing.assert_frame_equal(rows, before)
    only = api.asof_join(rows.assign(symbol=rows["symbol"].astype("category")), ["BBB"], by="symbol")
    assert closes(only) == [None, 30, 34, None, None]
    with pytest.raises(UnknownSymbolError, match="NOBODY"):
        api.asof_join(rows.assign(symbol="NOBODY"), by="symbol")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_times_may_have_any_unit_and_zone(api: DataAPI, unit: str, zone: str) -> None:
    rows = left("14:32", "14:33", "14:31")
    rows["ts"] = rows["ts"].dt.tz_convert(zone).dt.as_unit(unit)
    rows.loc[3] = [pd.NaT, 3]
    assert closes(api.asof_join(rows, "AAA")) == [31, 32, None, None]
    assert closes(api.asof_join(rows.set_index("ts"), "AAA")) == [31, 32, None, None]
    other = pl.from_pandas(rows)
    joined = api.asof_join(other, "AAA", columns=["close", "source"])
    assert joined["close"].to_list() == [31, 32, None, None]
    assert joined.drop("close", "source").equals(other)


def test_a_table_without_rows_gets_columns(api: DataAPI) -> None:
    joined = api.asof_join(left()[["row"]].assign(ts=pd.DatetimeIndex([], tz="UTC")), "AAA", columns=["close"])
    assert list(joined.columns) == ["row", "ts", "close"]
    assert joined.empty


@pytest.mark.parametrize(
    ("rows", "options", "text"),
    [
        (
            left("14:30").assign(ts=pd.Timestamp("2024-11-26")),
            {},
            "on='ts' .* without a zone; say which",
        ),
        (pl.DataFrame({"ts": [datetime(2024, 11, 26)]}), {}, "on='ts' .* with .dt.replace_time_zone"),  # noqa: DTZ001
        (left("14:30").assign(ts=5), {}, "on='ts' is a column of int64; it needs times"),
        (left("14:30"), {"on": "when"}, "on='when' is no column of left; it has: 'ts row'"),
        (left("14:30"), {"on": 5}, "on=5 is no text"),
        (left("14:30"), {"by": "row"}, "by='row' is a column of int64; it needs symbols"),
        (left("14:30"), {"symbols": ["AAA", "BBB"]}, r"symbols=\['AAA', 'BBB'\] is not one symbol; name with by"),
        (left("14:30"), {"symbols": None}, "symbols=None is not one symbol"),
        (left("14:30", close=[1]), {}, r"columns=\['close'\] are in left already; rename them there, or give a prefix"),
        (left("14:30"), {"columns": ["state"]}, r"columns=\['state'\] are not known; allowed: open"),
        (left("14:30"), {"columns": "close"}, "columns='close' is a single text"),
        (left("14:30"), {"tolerance": "5m"}, "tolerance='5m' is not allowed; give a timedelta"),
        (left("14:30"), {"latency": timedelta(-1)}, "latency=.* is not allowed; give a timedelta"),
        (left("14:30"), {"knowledge": "auto"}, "knowledge='auto' is not known; allowed: as_published as_learned"),
        ([1, 2], {}, "left=.* is no table; give a DataFrame of pandas or polars"),
    ],
)
def test_what_cannot_be_joined_is_refused(api: DataAPI, rows: Any, options: dict[str, Any], text: str) -> None:  # noqa: ANN401
    with pytest.raises(UsageError, match=text):
        api.asof_join(rows, **{"symbols": "AAA"} | options)


def test_many_rows_are_joined_as_one_by_one(warehouse: Warehouse, api: DataAPI) -> None:
    chance = Random(5)
    begin = utc("2024-12-02T14:30")
    bars = [
        Bar(symbol, begin + timedelta(minutes=n), close=10 + n / 1000)
        for symbol in MINUTES
        for n in range(600)
        if chance.random() < 0.5
    ]
    put(warehouse, Timeframe.M1, bars)
    times = [begin + timedelta(seconds=chance.randint(-100, 40000)) for _ in range(500)]
    rows = pd.DataFrame({"at": times, "symbol": [chance.choice(["AAA", "BBB"]) for _ in times]})
    rows["at"] = rows["at"].astype("datetime64[ns, UTC]")
    joined = api.asof_join(rows, by="symbol", on="at", columns=["close"], tolerance=timedelta(minutes=5))
    for at, symbol, close in joined.itertuples(index=False):
        ended = [b for b in bars if b.symbol == symbol and b.ts + timedelta(minutes=1) <= at]
        last = max(ended, key=lambda bar: bar.ts, default=None)
        if last is None or at - last.ts > timedelta(minutes=6):
            assert np.isnan(close)
        else:
            assert close == last.close
