"""The same question, answered by the store, by files, by caches and by mixtures of them: the same bars, bit for bit.

What is right is said by a model of a few lines: a list of everything that was ever published, and when.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pytest

from chandlery import DataAPI
from chandlery.cache.cache import Cache
from chandlery.cache.disk import DiskCache
from chandlery.cache.memory import MemoryCache
from chandlery.core.timeframe import Timeframe
from chandlery.lake.store import Lake
from chandlery.reading.lake_files import LakeFiles
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.restore import restore
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.warehouse import Warehouse
from tests.support import Bar, put, register, utc

pytestmark = pytest.mark.every_edition

M1, D1, W1 = Timeframe.M1, Timeframe.D1, Timeframe.W1
SYMBOLS = ("AAA", "BBB", "BTC/USD")
NOW = utc("2026-06-15")
#: Publications happen at these times, and questions are asked as of moments around them.
TIMES = [utc(f"2025-{month:02d}-01") for month in range(1, 8)]
MEGABYTES = 1_000_000
COLUMNS = [
    ("open", "high", "low", "close", "volume", "vwap", "trades", "source"),
    ("close",),
    ("known_at", "volume"),
    ("open", "high", "low", "close", "volume", "vwap", "trades", "source", "known_at"),
]


class Question(NamedTuple):
    symbols: Sequence[str]
    timeframe: Timeframe
    start: datetime | None
    end: datetime | None
    as_of: datetime | None
    limit: int | None
    columns: Sequence[str]


class Model:
    """Everything that was ever published, by bar: the values and when they were learned."""

    def __init__(self) -> None:
        self.values: dict[tuple[Timeframe, str], dict[datetime, list[tuple[datetime, Bar]]]] = {}

    def learn(self, timeframe: Timeframe, bars: Sequence[Bar], now: datetime) -> None:
        for bar in bars:
            known = self.values.setdefault((timeframe, bar.symbol), {}).setdefault(bar.ts, [])
            if not known or known[-1][1]._replace(source="") != bar._replace(source=""):
                known.append((now, bar))
        for key, history in self.values.items():
            self.values[key] = dict(sorted(history.items()))

    def answer(self, question: Question) -> list[tuple[object, ...]]:
        found: list[tuple[object, ...]] = []
        for symbol in question.symbols:
            bars = []
            for ts, known in self.values[question.timeframe, symbol].items():
                if (question.start and ts < question.start) or (question.end and ts >= question.end):
                    continue
                past = [each for each in known if question.as_of is None or each[0] <= question.as_of]
                if past:
                    values = past[-1][1]._asdict() | {"known_at": past[-1][0]}
                    bars.append((symbol, ts, *(values[column] for column in question.columns)))
            found += bars if question.limit is None else bars[-question.limit :]
        return found


def questions(rng: random.Random, count: int) -> Iterator[Question]:
    """Yield questions of all kinds. Of each symbol and timeframe there are bars, so that none is an error."""
    moments = [utc(f"20{year}-{month:02d}-{day:02d}") for year in (23, 24) for month in range(1, 13) for day in (1, 15)]
    for _ in range(count):
        start, end = sorted(rng.sample(moments, 2))
        yield Question(
            symbols=rng.sample(SYMBOLS, rng.randint(1, 3)),
            timeframe=rng.choice([M1, M1, D1, W1]),
            start=rng.choice([None, start]),
            end=rng.choice([None, end]),
            as_of=rng.choice([None, None, rng.choice(TIMES) + rng.choice([-1, 0, 1]) * timedelta(microseconds=1)]),
            limit=rng.choice([None, None, 1, 3, 40, 5000]),
            columns=rng.choice(COLUMNS),
        )


def ask(api: DataAPI, question: Question) -> list[tuple[object, ...]]:
    table = api.get_multi_symbol(
        question.symbols,
        question.start,
        question.end,
        question.timeframe,
        as_of=question.as_of,
        limit=question.limit,
        columns=question.columns,
        output="arrow",
    )
    assert table.schema.field("ts").type == pa.timestamp("us", tz="UTC")
    return [tuple(row.values()) for row in table.to_pylist()]


def first_bars(rng: random.Random) -> Iterator[tuple[Timeframe, Bar]]:
    """Yield minutes of six months of two years, days and weeks; a few values are null or odd."""
    for symbol in SYMBOLS:
        for year, month in ((2023, 1), (2023, 2), (2023, 12), (2024, 1), (2024, 3), (2024, 11)):
            for minute in range(0, 40 * 60 * 24, 1440 * 3 + rng.randint(1, 60)):
                moment = datetime(year, month, 1, 15, tzinfo=UTC) + timedelta(minutes=minute)
                if moment.month == month:
                    yield M1, _bar(rng, symbol, moment)
        for week in range(100):
            yield W1, _bar(rng, symbol, utc("2023-01-02") + timedelta(weeks=week))
            yield D1, _bar(rng, symbol, utc("2023-01-02") + timedelta(days=7 * week + rng.randint(0, 4)))


def _bar(rng: random.Random, symbol: str, ts: datetime) -> Bar:
    close = rng.choice([round(rng.uniform(1, 500), 2), rng.uniform(1, 2), 0.00000123, 1e9])
    return Bar(
        symbol,
        ts,
        open=close,
        high=close * 1.5,
        low=close / 2,
        close=close,
        volume=rng.choice([None, 0.0, 1e6, rng.random()]),
        vwap=rng.choice([None, close]),
        trades=rng.choice([None, 0, 12]),
        source=rng.choice(["test:one", "test:two"]),
    )


class House:
    """A warehouse, the model of it, and every way to read it."""

    def __init__(self, warehouse: Warehouse, folder: Path, rng: random.Random) -> None:
        self.warehouse, self.folder, self.rng, self.model = warehouse, folder, rng, Model()
        self.kept = self._cached(MemoryCache(50 * MEGABYTES), [])
        self.shared = self._cached(MemoryCache(50 * MEGABYTES), [DiskCache(folder / "cache", 50 * MEGABYTES)])

    def publish(self, timeframe: Timeframe, bars: Sequence[Bar], now: datetime) -> None:
        put(self.warehouse, timeframe, bars, now=now)
        self.model.learn(timeframe, bars, now)

    def correct(self, now: datetime, share: float) -> None:
        """Restate some bars of each timeframe."""
        for timeframe in (M1, D1, W1):
            histories = {symbol: self.model.values[timeframe, symbol] for symbol in SYMBOLS}
            keys = [(symbol, ts) for symbol, history in histories.items() for ts in history]
            chosen = self.rng.sample(keys, int(len(keys) * share))
            self.publish(timeframe, [_bar(self.rng, symbol, ts) for symbol, ts in chosen], now)

    def settle(self, before: str) -> None:
        for timeframe in (M1, D1):
            with self.warehouse.connection() as connection:
                due = find_due(connection, timeframe, utc(before))
            list(archive(self.warehouse, due))

    def leave(self, before: str) -> None:
        for timeframe in (M1, D1):
            assert apply_retention(self.warehouse, timeframe, utc(before), now=NOW).refused == []

    def readers(self) -> dict[str, Callable[[Question], list[tuple[object, ...]]]]:
        """Return every way to ask, by name."""
        store = DataAPI(self.warehouse, cache=Cache())
        store._files = None  # type: ignore[assignment]
        other = self._cached(MemoryCache(50 * MEGABYTES), [DiskCache(self.folder / "cache", 50 * MEGABYTES)])
        files = DataAPI(self.warehouse, cache=Cache())
        files._files = LakeFiles(worthwhile=0)
        small = self._cached(MemoryCache(3_000), [])
        ways = {
            "the store, and files of what left it": store,
            "files wherever one is current": files,
            "a memory that keeps everything": self.kept,
            "the same memory again": self.kept,
            "memory and disk": self.shared,
            "the disk that another process filled": other,
            "a memory that keeps next to nothing": small,
            "as it comes": DataAPI(self.warehouse),
        }
        return {name: lambda question, api=api: ask(api, question) for name, api in ways.items()}

    def _cached(self, memory: MemoryCache, slow: Sequence[DiskCache]) -> DataAPI:
        api = DataAPI(self.warehouse, cache=Cache(memory, slow))
        api._files.worthwhile = 0
        return api


@pytest.mark.slow
def test_hundreds_of_questions_have_one_answer_each_wherever_the_bars_are(warehouse: Warehouse, tmp_path: Path) -> None:
    rng = random.Random(20260615)
    house = House(Warehouse(warehouse.database, Lake(tmp_path / "lake")), tmp_path, rng)
    register(house.warehouse, {"AAA": "XNYS", "BBB": "XNYS", "BTC/USD": "24/7"})
    asked = list(questions(rng, 25))
    faults: list[str] = []
    count = 0

    def compare(stage: str) -> None:
        nonlocal count
        fresh = list(questions(rng, 10))
        for question in asked + fresh:
            right = house.model.answer(question)
            for name, read in readers.items():
                count += 1
                if read(question) != right:
                    faults.append(f"{stage}, {name}: {question}")
        house.shared._cache.flush()

    bars = list(first_bars(rng))
    for timeframe in (M1, D1, W1):
        house.publish(timeframe, [bar for width, bar in bars if width is timeframe], TIMES[0])
    readers = house.readers()
    compare("published")
    house.settle("2024-02-01")
    compare("archived in part")
    house.correct(TIMES[1], 0.1)
    compare("corrected")
    house.settle("2025-01-01")
    house.correct(TIMES[2], 0.01)
    readers = house.readers()
    compare("archived, and corrected a little")
    house.settle("2025-01-01")
    house.leave("2024-01-01")
    compare("half of it left the store")
    house.correct(TIMES[3], 0.02)  # which brings back what it touches
    compare("corrected what had left")
    house.settle("2025-01-01")
    house.leave("2025-01-01")
    readers = house.readers()
    compare("all of it left the store")
    restore(house.warehouse, M1, ["2023-01", "2024-01"], symbols=["AAA"])
    compare("some of it came back")
    assert not faults, f"{len(faults)} of {count}, among them {faults[:3]}"
    assert count > 2_000
    used = {stats.place: stats.hits for stats in house.shared._cache.stats()}
    assert used["memory"] > 100
    assert DiskCache(tmp_path / "cache", MEGABYTES).stats().entries
