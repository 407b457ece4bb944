"""A read is of one state: all that it returns was true at one moment, however many publish meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from psycopg import sql

from chandlery import DataAPI
from chandlery.cache.cache import Cache
from chandlery.cache.disk import DiskCache
from chandlery.cache.memory import MemoryCache
from chandlery.core.timeframe import Timeframe
from chandlery.database.connections import Database, Snapshot
from chandlery.lake.store import Lake
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.warehouse import Warehouse
from tests.support import Bar, put, register, utc

D1, W1 = Timeframe.D1, Timeframe.W1
SYMBOLS = ["AAA", "BBB", "CCC", "DDD"]
DAYS = [utc(f"202{year}-03-{day:02d}") for year in (2, 3) for day in (1, 2, 3)]
WRITERS, READS = 6, 60


def everywhere(value: float) -> list[Bar]:
    """Return bars of every symbol and day, with the same close everywhere."""
    return [Bar(symbol, day, high=1e9, low=0.0, close=value) for symbol in SYMBOLS for day in DAYS]


@pytest.fixture
def house(warehouse: Warehouse, tmp_path: Path) -> Warehouse:
    house = Warehouse(warehouse.database, Lake(tmp_path / "lake"))
    register(house, dict.fromkeys(SYMBOLS, "XNYS"))
    for timeframe in (D1, W1):
        put(house, timeframe, everywhere(1.0), now=utc("2025-01-01"))
    return house


class InterruptedDatabase(Database):
    """A database in which ``event`` happens before bars are read, so many times."""

    def __init__(self, dsn: str, event: Callable[[], object], times: int) -> None:
        super().__init__(dsn)
        self.event, self.times = event, times

    def fetch_arrow(self, statement: sql.Composed, *, snapshot: Snapshot | None = None) -> pa.Table:
        """See ``Database``."""
        if self.times:
            self.times -= 1
            self.event()
        return super().fetch_arrow(statement, snapshot=snapshot)


@contextmanager
def writers(house: Warehouse, timeframe: Timeframe) -> Iterator[None]:
    """Publish without pause while the block runs."""
    over = threading.Event()
    failures: list[BaseException] = []
    lock = threading.Lock()
    value = 1.0

    def write() -> None:
        nonlocal value
        try:
            while not over.is_set():
                with lock:
                    value += 1
                    mine = value
                put(house, timeframe, everywhere(mine))
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=write) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failures == []


@pytest.mark.parametrize("timeframe", [D1, W1], ids=str)
def test_no_reader_sees_symbols_of_different_publications(house: Warehouse, timeframe: Timeframe) -> None:
    seen = set()
    with DataAPI(house) as api, writers(house, timeframe):
        for number in range(READS):
            limit = [None, 1, 4][number % 3]
            bars = api.get_multi_symbol(SYMBOLS, timeframe=timeframe, limit=limit, output="arrow")
            values = set(bars["close"].to_pylist())
            assert len(values) == 1, f"read {number} mixed {values}"
            assert bars.num_rows == len(SYMBOLS) * (limit or len(DAYS))
            seen |= values
    assert len(seen) > 1  # it did change meanwhile


def test_what_files_hold_and_what_the_store_holds_are_of_one_state(house: Warehouse) -> None:
    with house.connection() as connection:
        due = find_due(connection, D1, utc("2023-01-01"))
    assert len(list(archive(house, due))) == 1  # of the first year
    with InterruptedDatabase(house.database.dsn, lambda: put(house, D1, everywhere(2.0)), 1) as database:
        api = DataAPI(Warehouse(database, house.lake))
        api._files.worthwhile = 0
        # The file has the first year as it was; the store has the second as it is now.
        bars = api.get_multi_symbol(SYMBOLS, output="arrow")
    assert set(bars["close"].to_pylist()) == {2.0}
    assert bars.num_rows == len(SYMBOLS) * len(DAYS)


def test_a_read_that_was_overtaken_again_and_again_reads_a_state_that_is_held(house: Warehouse) -> None:
    values = iter(range(2, 100))

    def publish() -> None:
        put(house, D1, everywhere(float(next(values))))

    with InterruptedDatabase(house.database.dsn, publish, 10) as database:
        bars = DataAPI(Warehouse(database, house.lake)).get_multi_symbol(SYMBOLS, output="arrow")
        # Once without, and once with the state held: that one publication comes too late to be seen.
        assert set(bars["close"].to_pylist()) == {2.0}
        assert database.times == 8


def test_what_is_kept_is_never_handed_out_once_it_changed(house: Warehouse) -> None:
    with DataAPI(house) as api:
        for value in (2.0, 3.0, 4.0):
            put(house, D1, everywhere(value))
            for _ in range(2):
                assert set(api.get_ohlc("AAA")["close"]) == {value}
        assert api._cache.memory.stats().hits == 3  # type: ignore[union-attr]


def test_who_writes_to_an_answer_changes_no_other(house: Warehouse) -> None:
    with DataAPI(house) as api:
        first = api.get_ohlc("AAA")
        first["close"] = 0.0
        first.loc[first.index[0], "open"] = -1.0
        first.index.name = "changed"
        again = api.get_ohlc("AAA")
        assert set(again["close"]) == {1.0}
        assert again.index.name == "ts"
        assert again["open"].iloc[0] != -1.0


def test_a_symbol_that_passes_to_another_instrument_is_not_answered_from_memory(house: Warehouse) -> None:
    with DataAPI(house) as api:
        assert set(api.get_ohlc("AAA")["close"]) == {1.0}
        put(house, D1, [Bar("BBB", DAYS[0], close=7.0)], now=utc("2025-02-01") + timedelta(hours=1))
        with house.connection() as connection:
            connection.execute("UPDATE market.instrument SET symbol = 'OLD' WHERE symbol = 'AAA'")
            connection.execute("UPDATE market.instrument SET symbol = 'AAA' WHERE symbol = 'BBB'")
        assert 7.0 in set(api.get_ohlc("AAA")["close"])


def minutes(month: int, value: float) -> list[Bar]:
    return [
        Bar("AAA", utc(f"2024-{month:02d}-01") + timedelta(minutes=n), high=1e9, low=0.0, close=value)
        for n in range(600)
    ]


class CountingDatabase(Database):
    """A database that counts the rows of bars that were read from it."""

    rows = 0

    def fetch_arrow(self, statement: sql.Composed, *, snapshot: Snapshot | None = None) -> pa.Table:
        """See ``Database``."""
        found = super().fetch_arrow(statement, snapshot=snapshot)
        self.rows += found.num_rows
        return found


def test_a_window_of_the_store_travels_once_in_each_version(house: Warehouse, tmp_path: Path) -> None:
    for month in (1, 2, 3):
        put(house, Timeframe.M1, minutes(month, float(month)))
    house.claim_lake()  # by which the database is known in places that processes share
    disk = DiskCache(tmp_path / "cache", 10_000_000)
    with CountingDatabase(house.database.dsn) as database:
        counting = Warehouse(database, house.lake)
        first = DataAPI(counting, cache=Cache(MemoryCache(10_000_000), [disk]))
        whole = first.get_ohlc("AAA", timeframe="1m", output="arrow")
        assert (whole.num_rows, database.rows) == (1800, 1800)
        first._cache.flush()
        # Another process, another range of the same months.
        other = DataAPI(counting, cache=Cache(MemoryCache(10_000_000), [disk]))
        assert other.get_ohlc("AAA", "2024-01-01", "2024-03-01", "1m", output="arrow").equals(whole.slice(0, 1200))
        assert database.rows == 1800
        put(house, Timeframe.M1, minutes(2, 9.0)[:5])
        again = other.get_ohlc("AAA", timeframe="1m", output="arrow")
        assert database.rows == 1800 + 600  # February alone
        assert again["close"].to_pylist() == [1.0] * 600 + [9.0] * 5 + [2.0] * 595 + [3.0] * 600


def test_what_was_read_of_an_overtaken_state_is_not_kept(house: Warehouse) -> None:
    put(house, Timeframe.M1, minutes(1, 1.0))
    with InterruptedDatabase(house.database.dsn, lambda: put(house, Timeframe.M1, minutes(1, 2.0)), 1) as database:
        api = DataAPI(Warehouse(database, house.lake))
        assert set(api.get_ohlc("AAA", timeframe="1m")["close"]) == {2.0}
        kept = {key: entry for key, entry in api._cache.memory._entries.items() if "window/" in str(key)}  # type: ignore[union-attr]
        assert len(kept) == 1
        (entry,) = kept.values()
        assert set(entry.value["close"].to_pylist()) == {2.0}
