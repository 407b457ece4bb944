"""Bars that are filled in for slots without trades: which, with what, and marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from chandlery.api.data import DataAPI
from chandlery.core.timeframe import Timeframe
from chandlery.errors import UsageError
from chandlery.tiers.warehouse import Warehouse
from tests.support import Bar, put, register, utc


@pytest.fixture
def api(warehouse: Warehouse) -> DataAPI:
    register(warehouse, {"AAA": "XNYS", "TYO": "XTKS", "BTC/USD": "24/7"})
    return DataAPI(warehouse)


def put_minutes(warehouse: Warehouse, symbol: str, closes: dict[str, float], now: str = "2025-01-01") -> None:
    bars = [Bar(symbol, utc(ts), high=99.0, low=1.0, close=close) for ts, close in closes.items()]
    put(warehouse, Timeframe.M1, bars, now=utc(now))


def shown(api: DataAPI, symbol: str, *requested: str, **options: object) -> list[str]:
    bars = api.get_ohlc(symbol, *requested, timeframe="1m", fill="previous", **options)  # type: ignore[call-overload]
    return [f"{ts:%d %H:%M} {row.close:g}{'*' * row.filled}" for ts, row in bars.iterrows()]


def test_slots_between_known_bars_are_filled_and_marked(warehouse: Warehouse, api: DataAPI) -> None:
    put_minutes(warehouse, "AAA", {"2024-11-29T17:57": 5, "2024-11-29T18:05": 6, "2024-12-02T14:31": 7})
    bars = api.get_ohlc(
        "AAA", timeframe="1m", fill="previous", columns=["open", "volume", "vwap", "trades", "source", "known_at"]
    )
    assert [f"{ts:%d %H:%M}" for ts in bars.index] == [
        "29 17:57",
        "29 17:58",
        "29 17:59",
        "29 18:05",
        "02 14:30",
        "02 14:31",
    ]
    assert bars["filled"].tolist() == [False, True, True, False, True, False]
    assert bars["open"].tolist() == [10, 5, 5, 10, 6, 10]
    assert bars["volume"].tolist() == [100, 0, 0, 100, 0, 100]
    for name in ("vwap", "trades", "source", "known_at"):
        assert bars[name].isna().tolist() == bars["filled"].tolist()
    assert "filled" not in api.get_ohlc("AAA", timeframe="1m").columns


def test_a_range_is_filled_from_before_it_and_no_further_than_what_is_known(warehouse: Warehouse, api: DataAPI) -> None:
    put_minutes(warehouse, "AAA", {"2024-11-29T14:31": 5, "2024-11-29T14:35": 6})
    day = "2024-11-29T14:"
    assert shown(api, "AAA", f"{day}30Z", f"{day}50Z") == [
        "29 14:31 5",
        "29 14:32 5*",
        "29 14:33 5*",
        "29 14:34 5*",
        "29 14:35 6",
    ]
    assert shown(api, "AAA", f"{day}33Z", f"{day}35Z") == ["29 14:33 5*", "29 14:34 5*"]
    assert shown(api, "AAA", f"{day}36Z", f"{day}50Z") == []
    assert shown(api, "AAA", limit=2) == ["29 14:34 5*", "29 14:35 6"]


def test_nothing_is_filled_that_was_not_known_then(warehouse: Warehouse, api: DataAPI) -> None:
    put_minutes(warehouse, "AAA", {"2024-11-29T14:31": 5, "2024-11-29T14:33": 6}, "2025-01-01")
    put_minutes(warehouse, "AAA", {"2024-11-29T14:33": 8, "2024-11-29T14:35": 7}, "2025-01-02")
    assert shown(api, "AAA", as_of="2025-01-01") == ["29 14:31 5", "29 14:32 5*", "29 14:33 6"]
    assert shown(api, "AAA", as_of="2025-01-02")[-2:] == ["29 14:34 8*", "29 14:35 7"]
    assert shown(api, "AAA", as_of="2024-12-31") == []


def test_breaks_nights_and_days_off_are_no_slots(warehouse: Warehouse, api: DataAPI) -> None:
    put_minutes(warehouse, "TYO", {"2024-11-29T02:28": 5, "2024-11-29T03:31": 6})
    assert shown(api, "TYO") == ["29 02:28 5", "29 02:29 5*", "29 03:30 5*", "29 03:31 6"]
    put_minutes(warehouse, "BTC/USD", {"2024-11-30T23:58": 5, "2024-12-01T00:01": 6})
    assert shown(api, "BTC/USD") == ["30 23:58 5", "30 23:59 5*", "01 00:00 5*", "01 00:01 6"]
    days = [Bar("AAA", utc("2024-11-26")), Bar("AAA", utc("2024-12-02"))]
    put(warehouse, Timeframe.D1, days)
    filled = api.get_ohlc("AAA", timeframe="1d", fill="previous")
    assert [str(ts.date()) for ts in filled.index] == ["2024-11-26", "2024-11-27", "2024-11-29", "2024-12-02"]
    quarters = api.get_ohlc("AAA", timeframe="2d", fill="previous", columns=["close"])
    assert quarters["filled"].sum() == len(quarters) - 2


def test_several_symbols_are_filled_each_by_its_own_bars(warehouse: Warehouse, api: DataAPI) -> None:
    put_minutes(warehouse, "BTC/USD", {"2024-11-29T14:31": 1, "2024-11-29T14:33": 2})
    put_minutes(warehouse, "AAA", {"2024-11-29T14:32": 3, "2024-11-29T14:34": 4})
    bars = api.get_multi_symbol(["BTC/USD", "AAA", "TYO"], timeframe="1m", fill="previous", columns=["close"])
    assert bars["close"].tolist() == [1, 1, 2, 3, 3, 4]
    assert bars["filled"].tolist() == [False, True, False, False, True, False]
    wide = api.get_multi_symbol(["BTC/USD", "AAA"], timeframe="1m", fill="previous", columns=["close"], layout="wide")
    assert wide["filled"]["AAA"].isna().tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    "options", [{"session": "extended"}, {"final_only": True}, {"exclude_suspect": True}, {"fill": "next"}]
)
def test_what_cannot_be_filled_is_refused(api: DataAPI, options: dict[str, Any]) -> None:
    with pytest.raises(
        UsageError, match=r"^fill='(previous' is not possible with|next' is not known; allowed: none prev)"
    ):
        api.get_ohlc("AAA", timeframe="1m", **{"fill": "previous"} | options)


def test_layouts_have_the_same_values(warehouse: Warehouse, api: DataAPI) -> None:
    put_minutes(warehouse, "BTC/USD", {"2024-11-29T14:31": 1, "2024-11-29T14:33": 2})
    put_minutes(warehouse, "AAA", {"2024-11-29T14:31": 3, "2024-11-29T14:34": 4})
    symbols = ["BTC/USD", "AAA", "TYO"]
    long = api.get_multi_symbol(symbols, timeframe="1m")
    apart = api.get_multi_symbol(symbols, timeframe="1m", layout="dict")
    assert list(apart) == symbols
    for symbol, frame in apart.items():
        pd.testing.assert_frame_equal(frame, api.get_ohlc(symbol, timeframe="1m"))
    wide = api.get_multi_symbol(symbols, timeframe="1m", layout="wide", columns=["close", "source"])
    assert wide.columns.tolist() == [(name, symbol) for name in ("close", "source") for symbol in symbols]
    assert wide.columns.names == ["column", "symbol"]
    stacked = wide["close"].T.stack().dropna()
    assert stacked.to_dict() == long["close"].to_dict()
    assert wide["close", "TYO"].isna().all()
    polars = api.get_multi_symbol(symbols, timeframe="1m", layout="wide", columns=["close"], output="polars")
    assert polars.columns == ["ts", "close:BTC/USD", "close:AAA", "close:TYO"]
    assert polars["close:AAA"].to_list() == [3, None, 4]


def test_a_text_for_symbols_names_a_preset(
    api: DataAPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warehouse: Warehouse
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "universe.yaml").write_text("presets:\n  mine: [BTC/USD, AAA]\n")
    monkeypatch.setenv("CHANDLERY_CONFIG", str(tmp_path / "config"))
    put_minutes(warehouse, "AAA", {"2024-11-29T14:31": 3})
    assert list(api.get_multi_symbol("mine", timeframe="1m", layout="dict")) == ["BTC/USD", "AAA"]
    assert api.latest("mine", "1m").index.tolist() == ["AAA"]
    with pytest.raises(
        UsageError, match=r"symbols='mein' is no preset; write \['mein'\] for a symbol; presets: mine; did"
    ):
        api.get_multi_symbol("mein")
