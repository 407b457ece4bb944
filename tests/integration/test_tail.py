"""The last bars: as many as are requested of each symbol, wherever they are, and without reading all the others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from chandlery import DataAPI
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import EVER
from chandlery.coverage.requested import RequestedRange, record_requested
from chandlery.errors import UsageError
from chandlery.lake.store import Lake
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.restore import restore
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.warehouse import Warehouse
from tests.support import Bar, put, register, utc

pytestmark = pytest.mark.every_edition

M1, D1 = Timeframe.M1, Timeframe.D1
LEARNED, RESTATED, ADDED = utc("2024-08-01"), utc("2024-09-01"), utc("2024-10-01")
MOMENTS = [None, LEARNED, RESTATED, ADDED]
#: Symbols in another order than that of their registration.
SYMBOLS = ["BTC/USD", "BBB", "AAA", "CCC"]
LIMITS = [1, 2, 3, 4, 7, 12, 13, 100]


class CountingLake(Lake):
    """A lake that notes which files are opened."""

    def __init__(self, root: str | Path) -> None:
        super().__init__(root)
        self.opened: list[str] = []

    @contextmanager
    def open(self, path: str) -> Iterator[pa.NativeFile]:
        """See ``Lake``."""
        self.opened.append(path)
        with super().open(path) as source:
            yield source


@pytest.fixture
def tiered(warehouse: Warehouse, tmp_path: Path) -> Warehouse:
    """Three minutes a month of AAA, of some months of BTC/USD; one of BBB, none of CCC. Some are restated or late."""
    tiered = Warehouse(warehouse.database, CountingLake(tmp_path / "lake"))
    register(tiered, {"AAA": "XNYS", "BBB": "XNYS", "CCC": "XNYS", "BTC/USD": "24/7"})
    put(tiered, M1, months("AAA", range(1, 7)) + months("BTC/USD", (1, 3, 6)) + months("BBB", [2])[:1], now=LEARNED)
    put(tiered, M1, [bar._replace(close=9.5) for bar in months("AAA", (2, 6))[1:5]], now=RESTATED)
    put(tiered, M1, [Bar(symbol, utc("2024-04-20T15:00")) for symbol in ("AAA", "BTC/USD")], now=ADDED)
    put(tiered, D1, [Bar("AAA", utc(f"{year}-06-03")) for year in range(2018, 2024)], now=LEARNED)
    return tiered


def months(symbol: str, numbers: Any) -> list[Bar]:  # noqa: ANN401 - any collection of numbers
    starts = [utc(f"2024-0{number}-15T15:00") + timedelta(minutes=n) for number in numbers for n in range(3)]
    return [Bar(symbol, start, close=10.0 + n / 100) for n, start in enumerate(starts)]


def leave(warehouse: Warehouse, timeframe: Timeframe, before: str) -> None:
    with warehouse.connection() as connection:
        due = find_due(connection, timeframe, utc(before))
    list(archive(warehouse, due))
    assert apply_retention(warehouse, timeframe, utc(before), now=utc("2025-06-01")).refused == []


def last(table: pa.Table, limit: int) -> list[dict[str, Any]]:
    """Return the last ``limit`` rows of each symbol, in the table's order."""
    by_symbol: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        by_symbol.setdefault(row["symbol"], []).append(row)
    return [row for each in by_symbol.values() for row in each[-limit:]]


def check(warehouse: Warehouse, *, final_only: bool = False) -> None:
    """Compare the last bars with the end of all bars."""
    api = DataAPI(warehouse)
    columns = ["close", "source", "known_at"]
    for moment in MOMENTS:
        for start, end in (
            EVER,
            (utc("2024-01-15T15:01"), utc("2024-06-15T15:02")),
            (utc("2024-02-01"), utc("2024-04-15")),
        ):
            options = {"as_of": moment, "final_only": final_only, "columns": columns, "output": "arrow"}
            whole = api.get_multi_symbol(SYMBOLS, start, end, "1m", **options)
            for limit in LIMITS:
                tail = api.get_multi_symbol(SYMBOLS, start, end, "1m", limit=limit, **options)
                assert tail.to_pylist() == last(whole, limit), (moment, start, end, limit)


def test_the_last_bars_are_the_end_of_all_bars_wherever_they_are(tiered: Warehouse) -> None:
    check(tiered)
    leave(tiered, M1, "2024-04-01")
    check(tiered)  # the first months in the lake
    leave(tiered, M1, "2025-01-01")
    check(tiered)  # all in the lake
    restore(tiered, M1, ["2024-02"])
    restore(tiered, M1, ["2024-06"], symbols=["AAA"])
    check(tiered)  # an old month in the store, newer ones in the lake


def test_the_last_final_bars_are_the_end_of_the_final_ones(tiered: Warehouse) -> None:
    with tiered.connection() as connection:
        ids = dict(connection.execute("SELECT symbol, instrument_id FROM market.instrument").fetchall())
        for symbol, calendar, end in (("AAA", "XNYS", "2024-03-01"), ("BTC/USD", "24/7", "2024-06-15")):
            requested = RequestedRange(
                ids[symbol], calendar, utc("2024-01-01"), utc(end), requested_at=utc("2024-07-01")
            )
            record_requested(connection, M1, [requested], now=utc("2024-07-01"))
    final = DataAPI(tiered).get_multi_symbol(SYMBOLS, *EVER, "1m", final_only=True, columns=[])
    assert final.groupby("symbol", observed=True).size().to_dict() == {"BTC/USD": 7, "AAA": 6}
    check(tiered, final_only=True)
    leave(tiered, M1, "2024-06-01")
    check(tiered, final_only=True)


def test_the_last_days_come_from_the_years_before_where_one_has_too_few(tiered: Warehouse) -> None:
    leave(tiered, D1, "2024-01-01")
    for limit in (1, 3, 6, 7):
        bars = DataAPI(tiered).get_ohlc("AAA", *EVER, limit=limit, output="arrow")
        assert [ts.year for ts in bars["ts"].to_pylist()] == list(range(2018, 2024))[-limit:]


def test_the_last_bars_are_read_from_the_newest_file_alone(tiered: Warehouse) -> None:
    leave(tiered, M1, "2024-07-01")
    assert isinstance(tiered.lake, CountingLake)
    tiered.lake.opened.clear()
    assert len(DataAPI(tiered).get_ohlc("AAA", *EVER, "1m", limit=3)) == 3
    assert tiered.lake.opened == ["bars_1m/symbol=AAA/2024-06-01_2024-07-01_v1.parquet"]


def test_the_last_bars_of_the_store_are_read_from_no_file(tiered: Warehouse) -> None:
    leave(tiered, M1, "2024-06-01")
    assert isinstance(tiered.lake, CountingLake)
    tiered.lake.opened.clear()
    assert len(DataAPI(tiered).get_ohlc("AAA", *EVER, "1m", limit=3)) == 3
    assert tiered.lake.opened == []


def test_derived_bars_have_last_ones_too(tiered: Warehouse) -> None:
    put(tiered, Timeframe.W1, [Bar("AAA", utc(f"2024-01-{day}")) for day in ("02", "08", "16")])
    bars = DataAPI(tiered).get_ohlc("AAA", *EVER, "1w", limit=2, output="arrow")
    assert [ts.day for ts in bars["ts"].to_pylist()] == [8, 16]


@pytest.mark.parametrize("limit", [0, -1, 1.5, "3", True, 2.0])
def test_a_limit_below_one_is_refused(tiered: Warehouse, limit: int) -> None:
    with pytest.raises(UsageError, match=re.escape(f"limit={limit!r} is not allowed")):
        DataAPI(tiered).get_ohlc("AAA", *EVER, limit=limit)
