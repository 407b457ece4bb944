"""The newest bar of each of many symbols, wherever it is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from chandlery.api.data import DataAPI
from chandlery.core.timeframe import Timeframe
from chandlery.errors import UnknownSymbolError
from chandlery.lake.store import Lake
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.retention import apply_retention
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


def test_bars_that_left_the_store_may_be_the_newest(warehouse: Warehouse, tmp_path: Path) -> None:
    tiered = Warehouse(warehouse.database, Lake(tmp_path / "lake"))
    register(tiered, dict.fromkeys(["OLD", "BOTH", "NEW", "NONE"], "XNYS"))
    bars = {"OLD": ["2023-05-01", "2023-06-01"], "BOTH": ["2023-07-03", "2024-02-01"], "NEW": ["2024-03-01"]}
    put(tiered, Timeframe.D1, [Bar(symbol, utc(day)) for symbol, days in bars.items() for day in days])
    minutes = [Bar("OLD", utc(f"2023-{month}-01T15:00")) for month in ("03", "04")]
    put(tiered, Timeframe.M1, minutes)
    newest = {"NEW": utc("2024-03-01"), "OLD": utc("2023-06-01"), "BOTH": utc("2024-02-01")}
    for timeframe in (Timeframe.D1, Timeframe.M1):
        with tiered.connection() as connection:
            due = find_due(connection, timeframe, utc("2024-01-01"))
        list(archive(tiered, due))
        assert apply_retention(tiered, timeframe, utc("2024-01-01"), now=utc("2025-06-01")).refused == []
    api = DataAPI(tiered)
    found = api.latest(["NEW", "OLD", "NONE", "BOTH"], columns=["close"])
    assert dict(zip(found.index, found["ts"], strict=True)) == newest
    assert api.latest(["OLD"], "1m", columns=[])["ts"].tolist() == [utc("2023-04-01T15:00")]
    frame = api.get_inference_data("OLD", "2023-06-02", timeframes=["1m", "1d"], limit=1)
    assert frame.data_source == {"1m": "lake", "1d": "lake"}
    assert frame.bars["1m"].index.tolist() == [utc("2023-04-01T15:00")]
