"""A read with ``as_of`` gives the same answer ever after: while a publication of that moment is under way, and cold."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from psycopg.conninfo import make_conninfo

from chandlery import DataAPI
from chandlery.config.universe import InstrumentConfig
from chandlery.core.schema import conform
from chandlery.core.timeframe import Timeframe
from chandlery.database.locks import lock_instruments
from chandlery.instruments.registry import load_instruments, sync_instruments
from chandlery.lake.store import Lake
from chandlery.publishing.publish import publish
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.warehouse import Warehouse
from tests.support import Bar, get, open_warehouse, put, register, rows, utc, wait_until_blocked

pytestmark = pytest.mark.every_edition

DAY = datetime(2024, 1, 2, tzinfo=UTC)


def bar(close: float) -> pa.Table:
    prices = {name: [close] for name in ("open", "high", "low", "close")}
    return conform(pa.table({"symbol": ["AAPL"], "ts": [DAY], **prices, "volume": [1.0], "source": ["test"]}))


@pytest.fixture
def stored(warehouse: Warehouse) -> Warehouse:
    with warehouse.connection() as connection:
        sync_instruments(connection, [InstrumentConfig(symbol="AAPL", provider="files")])
        publish(connection, warehouse, Timeframe.D1, bar(1.0))
    return warehouse


def test_reads_as_of_a_time_do_not_wait_for_each_other(stored: Warehouse) -> None:
    # Whoever waits for a lock hears of it from the server.
    impatient = open_warehouse(make_conninfo(stored.database.dsn, options="-c lock_timeout=3s"))
    with stored.connection() as connection, connection.transaction(), closing(impatient):
        number = load_instruments(connection)["AAPL"].instrument_id
        lock_instruments(connection, Timeframe.D1, [number], shared=True)  # as such a read does
        bars = DataAPI(impatient).get_ohlc(
            "AAPL", "2024-01-01", "2025-01-01", as_of=datetime.now(UTC), columns=["close"], output="arrow"
        )
    assert bars["close"].to_pylist() == [1.0]


def test_a_read_as_of_now_waits_for_a_publication_that_has_taken_its_time_already(stored: Warehouse) -> None:
    answers: list[list[float]] = []

    def read(as_of: datetime) -> None:
        api = DataAPI(stored)
        answers.append(
            api.get_ohlc("AAPL", "2024-01-01", "2025-01-01", as_of=as_of, output="arrow")["close"].to_pylist()
        )

    with stored.connection() as connection:
        with connection.transaction():
            report = publish(connection, stored, Timeframe.D1, bar(2.0))
            reader = threading.Thread(target=read, args=(report.known_at,))
            reader.start()
            wait_until_blocked(stored.database.dsn)
        reader.join()
    assert answers == [[2.0]]
    read(report.known_at)
    assert answers == [[2.0], [2.0]]


def test_a_plain_read_does_not_wait(stored: Warehouse) -> None:
    with stored.connection() as connection, connection.transaction():
        publish(connection, stored, Timeframe.D1, bar(2.0))
        seen = DataAPI(stored).get_ohlc("AAPL", "2024-01-01", "2025-01-01", output="arrow")
    assert seen["close"].to_pylist() == [1.0]


@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.D1])
def test_a_restated_bar_comes_once_at_every_instant_of_its_life_hot_and_cold(
    warehouse: Warehouse, tmp_path: Path, timeframe: Timeframe
) -> None:
    tiered = Warehouse(warehouse.database, Lake(tmp_path / "lake"))
    ids = register(tiered, {"AAA": "XNYS", "BBB": "XNYS"})
    learned = [utc("2024-03-01"), utc("2024-04-01"), utc("2024-05-01")]
    values = [Bar("AAA", DAY, close=close) for close in (9.5, 10.0, 10.5)]
    neighbour = Bar("BBB", DAY)
    for now, value in zip(learned, values, strict=True):
        put(tiered, timeframe, [value, neighbour], now=now)
    instant = timedelta(microseconds=1)
    expected: dict[datetime, list[Bar]] = {learned[0] - instant: []}
    for known_at, until, value in zip(learned, [*learned[1:], utc("2025-01-01")], values, strict=True):
        expected |= {moment: [value, neighbour] for moment in (known_at, known_at + instant, until - instant)}

    def check() -> None:
        for moment, bars in expected.items():
            assert rows(get(tiered, timeframe, ids, as_of=moment)) == bars, moment
        assert rows(get(tiered, timeframe, ids)) == [values[-1], neighbour]

    check()
    with tiered.connection() as connection:
        due = find_due(connection, timeframe, utc("2025-01-01"))
    assert list(archive(tiered, due))
    assert apply_retention(tiered, timeframe, utc("2025-01-01"), now=utc("2025-06-01")).refused == []
    check()
