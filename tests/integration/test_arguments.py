"""Whatever a caller gives to ``DataAPI`` works, or is one error: the parameter, what was given, what is allowed."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from chandlery.api.data import DataAPI
from chandlery.core.timeframe import Timeframe
from chandlery.errors import UsageError
from chandlery.tiers.warehouse import Warehouse
from tests.support import Bar, put, register, utc

DAYS = [utc("2024-06-03"), utc("2024-06-04"), utc("2024-06-05")]
RANGE = {"start": "2024-06-03", "end": "2024-06-06"}

#: Nothing of this is a text, a moment, a list of texts, a number of bars or a flag.
NEVER = [
    float("nan"),
    float("inf"),
    -1.5,
    decimal.Decimal("1.5"),
    1j,
    b"AAA",
    bytearray(b"AAA"),
    object(),
    Ellipsis,
    NotImplemented,
    pd.NaT,
    pd.NA,
    np.datetime64("NaT"),
    np.float64("nan"),
    np.timedelta64(1, "D"),
    timedelta(days=1),
    time(9, 30),
    Path("AAA"),
    int,
    len,
    {"AAA": 1}.items,
    np.array(3.5),
    np.array([[1, 2], [3, 4]]),
    [["AAA"]],
    [None],
    [b"AAA"],
    {1: 2},
    slice(0, 3),
    pd.DataFrame({1: [1]}),
    "\x00",
    "\ud800",
    "\x1b[31m",
]
WRONG: dict[str, list[Any]] = {
    "moment": [
        *NEVER,
        None,
        True,
        0,
        20240603,
        1717372800,
        1717372800.0,
        np.int64(1717372800),
        "",
        " ",
        "now",
        "2024-13-01",
        "2024-02-30",
        "2024-06-03T25:00:00Z",
        "2024-06-03T10:00",
        "2024-06-03 10:00:00",
        "03.06.2024",
        "6/3/2024",
        "10000-01-01",
        "0000-01-01",
        "-2024-01-01",
        datetime(2024, 6, 3),  # noqa: DTZ001 - that is what is wrong with it
        datetime(2024, 6, 3, 10),  # noqa: DTZ001
        pd.Timestamp("2024-06-03T10:00"),
        np.datetime64("2024-06-03T10:00"),
        np.datetime64("10000-01-01"),
        np.datetime64(2**62, "Y"),
        np.datetime64("-0001-01-01"),
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5))),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))),
        pd.Period("2024-06", "M"),
        [date(2024, 6, 3)],
        (2024, 6, 3),
        np.array(["2024-06-03"], dtype="datetime64[D]"),
        pd.Series([pd.Timestamp("2024-06-03", tz="UTC")]),
    ],
    "symbol": [
        *NEVER,
        None,
        True,
        0,
        "",
        " ",
        "AAA|BBB",
        "A" * 33,
        "A" * 100_000,
        "'; DROP TABLE x",
        ["AAA"],
        ("AAA",),
    ],
    "symbols": [
        *NEVER,
        None,
        True,
        0,
        "AAA",
        "",
        ["AAA", ""],
        ["AAA", None],
        ["AAA", 5],
        ["AAA", "nobody"],
        [float("nan")],
        pd.Series([1, 2]),
    ],
    "columns": [*NEVER, None, True, 0, "close", "", ["close", "close"], ["price"], ["ts"], [""], ["close", None], [4]],
    "timeframe": [
        *NEVER,
        None,
        True,
        1,
        "",
        "1M",
        "1  d",
        "hours2",
        "1d ",
        "0d",
        "25h",
        "1s",
        ["1d"],
        timedelta(minutes=1),
    ],
    "choice": [*NEVER, None, True, 0, "", "All", "UTC", "everything", ["all"], ("all",)],
    "timeframes": [*NEVER, None, True, 1, "", "1d", ["1d", "2x"], ["1M"], ["1d", "1D"], ["1h", 5]],
    "indicators": [*NEVER, True, 1, "SMA_20", ["SMA_0"], ["nothing"], [5]],
    "latency": [*NEVER[:11], None, True, 1, 1.0, "1s", timedelta(seconds=-1), timedelta(days=8)],
    "output": [*NEVER, None, True, 0, "", "excel", "Pandas", ["pandas"], pd.DataFrame],
    "limit": [*NEVER, True, False, 0, -1, -(10**30), 1.0, "5", "", [5], decimal.Decimal(5)],
    "text": [*[value for value in NEVER if not isinstance(value, str)], "", "\x00", True, 0, ["price_jump"]],
    "final_only": [*NEVER, None, 0, 1, "", "no", "False", [True], [], np.array([True, False])],
}
PLACES = [
    ("get_ohlc", "symbol", "symbol"),
    ("get_ohlc", "start", "moment"),
    ("get_ohlc", "end", "moment"),
    ("get_ohlc", "as_of", "moment"),
    ("get_ohlc", "columns", "columns"),
    ("get_ohlc", "timeframe", "timeframe"),
    ("get_ohlc", "output", "output"),
    ("get_ohlc", "limit", "limit"),
    ("get_ohlc", "session", "choice"),
    ("get_ohlc", "anchor", "choice"),
    ("get_ohlc", "adjust", "choice"),
    ("get_ohlc", "fill", "choice"),
    ("get_multi_symbol", "layout", "choice"),
    ("latest", "symbols", "symbols"),
    ("latest", "timeframe", "timeframe"),
    ("latest", "as_of", "moment"),
    ("latest", "columns", "columns"),
    ("latest", "output", "output"),
    ("get_multi_timeframe_data", "symbol", "symbol"),
    ("get_multi_timeframe_data", "timeframes", "timeframes"),
    ("get_multi_timeframe_data", "timestamp", "moment"),
    ("get_multi_timeframe_data", "limit", "limit"),
    ("get_multi_timeframe_data", "output", "output"),
    ("get_inference_data", "timestamp", "moment"),
    ("get_inference_data", "context_window_minutes", "limit"),
    ("get_inference_data", "context_after_minutes", "limit"),
    ("get_inference_data", "timeframes", "timeframes"),
    ("get_inference_data", "indicators", "indicators"),
    ("get_inference_data", "knowledge", "choice"),
    ("get_inference_data", "latency", "latency"),
    ("get_inference_data", "output", "output"),
    ("get_ohlc", "final_only", "final_only"),
    ("get_multi_symbol", "symbols", "symbols"),
    ("get_multi_symbol", "start", "moment"),
    ("get_multi_symbol", "columns", "columns"),
    ("get_multi_symbol", "limit", "limit"),
    ("lineage", "symbol", "symbol"),
    ("lineage", "ts", "moment"),
    ("lineage", "as_of", "moment"),
    ("lineage", "timeframe", "timeframe"),
    ("revisions", "symbol", "symbol"),
    ("revisions", "start", "moment"),
    ("revisions", "end", "moment"),
    ("revisions", "timeframe", "timeframe"),
    ("revisions", "output", "output"),
    ("coverage", "symbols", "symbols"),
    ("coverage", "timeframe", "timeframe"),
    ("coverage", "output", "output"),
    ("missing_sessions", "symbols", "symbols"),
    ("missing_sessions", "timeframe", "timeframe"),
    ("session_states", "symbols", "symbols"),
    ("session_states", "timeframe", "timeframe"),
    ("session_states", "start", "moment"),
    ("session_states", "end", "moment"),
    ("session_states", "state", "choice"),
    ("states_of_day", "day", "moment"),
    ("states_of_day", "symbols", "symbols"),
    ("states_of_day", "output", "output"),
    ("instruments", "symbols", "symbols"),
    ("instruments", "output", "output"),
    ("aliases", "symbols", "symbols"),
    ("halts", "symbols", "symbols"),
    ("findings", "symbols", "symbols"),
    ("findings", "rule", "text"),
    ("findings", "state", "choice"),
    ("quarantine", "symbols", "symbols"),
    ("quarantine", "everything", "final_only"),
    ("quarantine", "output", "output"),
    ("rejected_rows", "quarantine_id", "limit"),
]
#: Where None means all there is, or now.
OPTIONAL = {
    *("as_of", "start", "end", "timestamp"),
    *((method, "symbols") for method in ("coverage", "missing_sessions", "session_states", "states_of_day")),
    *((method, "symbols") for method in ("instruments", "aliases", "halts", "findings", "quarantine")),
    *((method, "timeframe") for method in ("coverage", "session_states")),
    *(("session_states", "state"), ("findings", "state"), ("findings", "rule")),
}
GOOD: dict[str, dict[str, Any]] = {
    "get_ohlc": {"symbol": "AAA", **RANGE},
    "get_multi_symbol": {"symbols": ["AAA"], **RANGE},
    "get_multi_timeframe_data": {"symbol": "AAA", "timeframes": ["1d"]},
    "get_inference_data": {"symbols": "AAA"},
    "latest": {"symbols": ["AAA"]},
    "lineage": {"symbol": "AAA", "ts": "2024-06-03"},
    "revisions": {"symbol": "AAA", **RANGE},
    "coverage": {"timeframe": "1d"},
    "missing_sessions": {},
    "session_states": {**RANGE},
    "states_of_day": {"day": "2024-06-03"},
    "instruments": {},
    "aliases": {},
    "halts": {},
    "findings": {},
    "quarantine": {},
    "rejected_rows": {"quarantine_id": 1},
}


@pytest.fixture
def api(warehouse: Warehouse) -> Iterator[DataAPI]:
    register(warehouse, {"AAA": "XNYS", "BBB": "XNYS"})
    bars = [Bar(symbol, day, close=9.5 + n) for symbol in ["BBB", "AAA"] for n, day in enumerate(DAYS)]
    put(warehouse, Timeframe.D1, bars)
    with DataAPI(warehouse) as opened:
        yield opened


def test_every_wrong_argument_is_one_error_that_names_it(api: DataAPI) -> None:
    faults, count = [], 0
    for method, parameter, kind in PLACES:
        for value in WRONG[kind]:
            if value is None and {parameter, (method, parameter)} & OPTIONAL:
                continue
            count += 1
            try:
                answer = getattr(api, method)(**GOOD[method] | {parameter: value})
                faults.append(f"{method}({parameter}={value!r:.60}) answered {answer!r:.60}")
            except UsageError as error:
                text = str(error)
                if not text.startswith((parameter, "symbol ")) or "\n" in text or len(text) > 500:
                    faults.append(f"{method}({parameter}={value!r:.60}) said {text!r:.300}")
            except Exception as error:  # noqa: BLE001 - what must not come
                faults.append(f"{method}({parameter}={value!r:.60}) raised {error!r:.120}")
    assert not faults, f"{len(faults)} of {count}:\n" + "\n".join(faults)
    assert count >= 300


@pytest.mark.parametrize(
    "start",
    [
        "2024-06-04",
        "20240604",
        "2024-06-03T20:00:00-04:00",
        "2024-06-04T00:00Z",
        date(2024, 6, 4),
        datetime(2024, 6, 4, tzinfo=UTC),
        pd.Timestamp("2024-06-04"),
        pd.Timestamp("2024-06-04", tz="UTC"),
        pd.Timestamp("2024-06-03T20:00", tz="America/New_York"),
        pd.Timestamp("2024-06-03T00:00:00.000000001Z"),
        np.datetime64("2024-06-04"),
        np.datetime64("2024-06-04T00:00:00.000000000"),
        np.str_("2024-06-04"),
    ],
)
def test_a_moment_may_be_written_in_many_ways(api: DataAPI, start: object) -> None:
    assert api.get_ohlc("AAA", start, "2024-06-06")["close"].tolist() == [10.5, 11.5]  # type: ignore[call-overload]


@pytest.mark.parametrize("end", [pd.Timestamp("2024-06-04T23:59:59.999999999Z"), pd.Timestamp("2024-06-05")])
def test_the_last_nanosecond_of_a_day_ends_where_the_next_day_begins(api: DataAPI, end: object) -> None:
    assert api.get_ohlc("AAA", "2024-06-04", end)["close"].tolist() == [10.5]  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("start", "end"),
    [("9999-12-30", "9999-12-31"), (date.min, date.max), ("2024-06-03", datetime.max.replace(tzinfo=UTC))],
)
def test_the_first_and_the_last_day_there_are_may_be_asked_for(api: DataAPI, start: str, end: str) -> None:
    for timeframe in ("1d", "1w", "1mo"):
        for limit in (None, 2):
            assert set(api.get_ohlc("AAA", start, end, timeframe, limit=limit, final_only=limit is None)["close"]) <= {
                9.5,
                10.5,
                11.5,
            }


@pytest.mark.parametrize("make", [tuple, iter, np.array, pd.Index, pd.Series, dict.fromkeys])
def test_names_may_come_from_anything_that_yields_them(api: DataAPI, make: Callable[[list[str]], Any]) -> None:
    bars = api.get_multi_symbol(make(["BBB", "AAA"]), **RANGE, columns=make(["close", "volume"]))
    assert list(dict.fromkeys(bars.index.get_level_values("symbol"))) == ["BBB", "AAA"]
    assert list(bars.columns) == ["close", "volume"]
    assert len(bars) == 6
    assert len(api.get_ohlc("AAA", **RANGE, columns=make(["close"]))) == 3


@pytest.mark.parametrize("limit", [2, np.int64(2), np.uint8(2), 10**30])
def test_a_limit_may_be_any_whole_number(api: DataAPI, limit: int) -> None:
    assert len(api.get_ohlc("AAA", **RANGE, limit=limit)) == min(limit, 3)
