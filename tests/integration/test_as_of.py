"""A read with ``as_of`` gives the same answer ever after, even while a publication of that moment is under way."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from chandlery import DataAPI
from chandlery.config.universe import InstrumentConfig
from chandlery.core.schema import conform
from chandlery.core.timeframe import Timeframe
from chandlery.instruments.registry import sync_instruments
from chandlery.publishing.publish import publish
from chandlery.tiers.warehouse import Warehouse

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
            reader.join(0.5)
            assert reader.is_alive(), "the reader did not wait for the publication under way"
        reader.join(10)
    assert answers == [[2.0]]
    read(report.known_at)
    assert answers == [[2.0], [2.0]]


def test_a_plain_read_does_not_wait(stored: Warehouse) -> None:
    with stored.connection() as connection, connection.transaction():
        publish(connection, stored, Timeframe.D1, bar(2.0))
        seen = DataAPI(stored).get_ohlc("AAPL", "2024-01-01", "2025-01-01", output="arrow")
    assert seen["close"].to_pylist() == [1.0]
