"""Bars before the open and after the close: they belong to a session, and no run may leave them out."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from chandlery.config.universe import InstrumentConfig
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.repair import plan_backfills, record_launch
from chandlery.ingest.landing import Landing
from chandlery.ingest.pipeline import IngestPipeline
from chandlery.ingest.plan import partitions_between
from chandlery.instruments.registry import list_instruments, sync_instruments
from chandlery.lake.store import Lake
from chandlery.providers.alpaca import AlpacaProvider
from chandlery.providers.base import Provider
from chandlery.tiers.warehouse import Warehouse
from expectations.gate import BarGate
from tests.contract.alpaca import Alpaca
from tests.servers.http import VendorServer
from tests.servers.market import Market
from tests.support import instruments_of, utc

#: The last two sessions of a month and the first of the next one, each traded from 04:00 to 20:00 in New York.
DAYS = ("2024-05-30", "2024-05-31", "2024-06-03")
AFTER = timedelta(days=1)


def market() -> Market:
    opens = [utc(f"{day}T08:00") for day in DAYS]
    ts = np.concatenate(
        [np.datetime64(at.replace(tzinfo=None), "us").astype(np.int64) + np.arange(960) * 60_000_000 for at in opens]
    )
    price = 100 + np.arange(len(ts)) % 7 / 100
    values = dict.fromkeys(("open", "high", "low", "close", "vwap"), price)
    flat = {"volume": np.full(len(ts), 100.0), "trades": np.full(len(ts), 3)}
    return Market({("AAPL", Timeframe.M1): {"ts": ts, **values, **flat}})


class Shop:
    def __init__(
        self, warehouse: Warehouse, server: VendorServer, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.warehouse = warehouse
        self.provider: Provider = Alpaca().connect(server, monkeypatch)
        self.landing = Landing(warehouse.database, Lake(folder / "landing"))
        self.whole, self.server = server.market, server
        with warehouse.connection() as connection:
            sync_instruments(connection, [InstrumentConfig(symbol="AAPL", provider="alpaca", calendar="XNYS")])

    def load(self, start: datetime, end: datetime, now: datetime, *, refresh: bool = False) -> None:
        """Ask at ``now``: of what was not traded yet, nothing comes."""
        self.server.market = Market({key: self.whole.between(*key, utc("2000-01-01"), now) for key in self.whole.bars})
        instruments = instruments_of(self.warehouse)
        partitions = partitions_between(instruments.values(), Timeframe.M1, start, min(end, now))
        pipeline = IngestPipeline(self.warehouse, BarGate(), instruments, landing=self.landing, now=now)
        list(pipeline.ingest(self.provider, partitions, refresh=refresh))

    def count(self) -> int:
        with self.warehouse.connection() as connection:
            row = connection.execute("SELECT count(*) FROM market.bars_1m").fetchone()
        assert row
        return int(row[0])


@pytest.fixture
def shop(warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    with Alpaca().serve(market(), key=Alpaca.keys["key"]) as server:
        yield Shop(warehouse, server, tmp_path, monkeypatch)  # type: ignore[misc]


def test_a_run_after_each_close_misses_none(shop: Shop) -> None:
    for day in DAYS:
        shop.load(utc("2024-05-30"), utc("2024-07-01"), utc(f"{day}T20:30"))
    shop.load(utc("2024-05-30"), utc("2024-07-01"), utc(f"{DAYS[-1]}T20:30") + AFTER)
    assert shop.count() == 3 * 960


def test_repair_brings_them_along(shop: Shop) -> None:
    shop.load(utc("2024-05-30"), utc("2024-05-31"), utc("2024-05-30T20:30"))
    now = utc("2024-06-04T12:00")
    for _ in range(3):
        with shop.warehouse.connection() as connection:
            found = list_instruments(connection)
            backfills = plan_backfills(
                connection, found, Timeframe.M1, limits={"alpaca": AlpacaProvider.limits}, now=now
            )
            for backfill in backfills:
                record_launch(connection, backfill, now)
        for backfill in backfills:
            shop.load(*backfill.ranges["AAPL"], now, refresh=True)
        now += timedelta(hours=1)
    assert shop.count() == 3 * 960
