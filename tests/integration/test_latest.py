"""The newest bar of each of many symbols, wherever it is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chandlery.api.data import DataAPI
from chandlery.core.timeframe import Timeframe
from chandlery.errors import UnknownSymbolError
from chandlery.tiers.warehouse import Warehouse
from tests.support import Bar, put, register, utc

pytestmark = pytest.mark.every_edition


def test_the_newest_bar_of_each_symbol_is_that_of_a_read(warehouse: Warehouse) -> None:
    symbols = [f"S{n:03}" for n in range(40)]
    register(warehouse, dict.fromkeys(symbols, "XNYS"))
    days = [datetime(2024, month, 3, tzinfo=UTC) for month in range(1, 13)]
    bars = [Bar(s, d, close=9.0 + n % 3) for n, s in enumerate(symbols[:-1]) for d in days[: 1 + n % 12]]
    put(warehouse, Timeframe.D1, bars, now=utc("2025-01-01"))
    api = DataAPI(warehouse)
    asked = list(reversed(symbols))
    found = api.latest(asked)
    assert found.index.tolist() == asked[1:]
    for symbol, row in found.iterrows():
        (ts,) = api.get_ohlc(str(symbol), limit=1).index
        assert (row["ts"], row["close"]) == (ts, api.get_ohlc(str(symbol), limit=1)["close"].iloc[0])
    assert api.latest(asked, as_of="2025-01-02", columns=["close"]).equals(found[["ts", "close"]])
    assert api.latest(asked, as_of="2024-12-01").empty
    assert api.latest(["S000"], "2d", columns=["close"])["ts"].tolist() == [utc("2024-01-02")]
    assert api.latest(["S000"], columns=["state"])["state"].tolist() == ["provisional"]
    assert api.latest([]).empty
    with pytest.raises(UnknownSymbolError):
        api.latest(["S000", "NOBODY"])
