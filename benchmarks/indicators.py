"""Indicators of one symbol, and of a whole market: as large a task as the one that Qlib publishes for its data server.

Qlib's page tells its size, 14 factors of the days of 800 stocks from 2007 to 2020, and not which factors; ours are
named below. Its figures are from its own machine, so that they stand beside ours and are not compared. Not here: how
the bars got there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from benchmarks.harness import Measure, Section, say, stopwatch, take_turns
from benchmarks.world import World, bars, symbols
from chandlery.api.data import DataAPI
from chandlery.core.timeframe import Timeframe
from chandlery.indicators.compute import compute, compute_many
from chandlery.publishing.publish import publish
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.warehouse import Warehouse

D1 = Timeframe.D1
START, END = datetime(2007, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)
STOCKS = 800
#: Fourteen of the kinds that Qlib's own sets of features have: returns, averages, deviations, extremes, trends, volume.
FACTORS = [
    *("RETURN_1", "RETURN_5", "ROC_20", "SMA_5", "SMA_20", "SMA_60", "STDDEV_20", "ZSCORE_20"),
    *("LINEARREG_SLOPE_20", "WILLR_20", "RSI_14", "ATR_14", "RVOL_20", "VWMA_20"),
]
#: Of the API's own list.
USUAL = [
    *("SMA_20", "EMA_50", "RSI_14", "MACD_12_26_9", "BB_20_2", "ATR_14"),
    *("VWAP", "OBV", "ADX_14", "STOCH_14_3_3", "CCI_20", "WILLR_14"),
]
_COLUMNS = ("open", "high", "low", "close", "volume")


def run(world: World) -> Iterator[Section]:
    """Yield the results: one symbol, then 800."""
    names = symbols(STOCKS)
    with world.warehouse("indicators", names) as warehouse:
        _load(warehouse, names)
        api = DataAPI(warehouse)
        yield _one(api, names[0], world.repeat)
        with _one_core():
            yield _many(api, names, world.repeat)


def _load(warehouse: Warehouse, names: list[str]) -> None:
    """Publish days of all symbols and let them leave for the lake."""
    with warehouse.connection() as connection:
        for year in range(START.year, END.year):
            table = bars(names, D1, datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC))
            publish(connection, warehouse, D1, table, now=datetime(2021, 2, 1, tzinfo=UTC))
        connection.execute("VACUUM ANALYZE")
        due = find_due(connection, D1, END)
    say(f"archiving {STOCKS} symbols")
    list(archive(warehouse, due))
    apply_retention(warehouse, D1, END, now=datetime(2026, 1, 1, tzinfo=UTC))


def _one(api: DataAPI, name: str, repeat: int) -> Section:
    year = datetime(2019, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)
    whole = api.get_ohlc(name, columns=_COLUMNS, output="arrow")
    contestants = {
        "a year of days": lambda: stopwatch(lambda: api.get_ohlc(name, *year)),
        "the same with 12 indicators and their warm-up": lambda: stopwatch(
            lambda: api.get_ohlc_with_indicators(name, *year, indicators=USUAL)
        ),
        "12 indicators of 14 years of days, computed alone": lambda: stopwatch(lambda: compute(whole, USUAL)),
    }
    section = Section("indicators: of one symbol, from the lake")
    section.add({key: Measure(key, taken) for key, taken in take_turns(contestants, repeat).items()})
    return section


def _many(api: DataAPI, names: list[str], repeat: int) -> Section:
    table = _read(api, names)
    contestants = {
        "read all days from the lake": lambda: stopwatch(lambda: _read(api, names)),
        "compute 14 factors of them": lambda: stopwatch(lambda: compute_many(table, FACTORS, by="symbol")),
        "the whole task, to one pandas frame": lambda: stopwatch(lambda: _task(api, names)),
    }
    section = Section(f"indicators: {len(FACTORS)} factors of {table.num_rows:,} days of {STOCKS} stocks, on one core")
    seconds = take_turns(contestants, repeat)
    section.add({key: Measure(key, taken, table.num_rows, "rows") for key, taken in seconds.items()})
    section.facts["factors"] = " ".join(FACTORS)
    section.facts["Qlib's own figures for as large a task on one processor, seconds"] = {
        "no cache": 147.0,
        "expressions cached": 47.6,
        "the result cached": 7.4,
        "HDF5": 184.4,
    }
    return section


def _read(api: DataAPI, names: list[str]) -> pa.Table:
    found: pa.Table = api.get_multi_symbol(names, START, END, "1d", columns=_COLUMNS, output="arrow")
    return found


def _task(api: DataAPI, names: list[str]) -> pd.DataFrame:
    table = _read(api, names)
    made = compute_many(table, FACTORS, by="symbol")
    frame: pd.DataFrame = made.add_column(0, "symbol", table["symbol"]).add_column(1, "ts", table["ts"]).to_pandas()
    return frame.set_index(["symbol", "ts"])


@contextmanager
def _one_core() -> Iterator[None]:
    """Let every thread of this process have the same core, where the system allows it."""
    threads = pa.cpu_count()
    cores: Any = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    try:
        pa.set_cpu_count(1)
        _give(set(sorted(cores)[:1]))
        yield
    finally:
        pa.set_cpu_count(threads)
        _give(cores)


def _give(cores: set[int]) -> None:
    if cores:
        for thread in Path("/proc/self/task").iterdir():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), cores)
