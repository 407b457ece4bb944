"""What tests of remote providers share: an installation's parts around a server of candles on loopback."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from chandlery.bars.read import BarRange
from chandlery.config.providers import CallLimits, ProviderConfig, ProvidersConfig
from chandlery.config.universe import InstrumentConfig
from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from chandlery.ingest.gate import Gate
from chandlery.ingest.landing import Landing
from chandlery.ingest.pipeline import IngestPipeline
from chandlery.ingest.plan import partitions_between
from chandlery.ingest.result import PartitionResult
from chandlery.instruments.registry import Instrument, sync_instruments
from chandlery.lake.store import Lake
from chandlery.providers.base import Provider
from chandlery.providers.catalog import build_provider
from chandlery.providers.http.caller import RetryPolicy
from chandlery.providers.http.rate_limit import RateLimiterFactory
from chandlery.providers.http.shared_rate_limit import shared_rate_limiters
from chandlery.reading.bars import read_bars
from chandlery.tiers.warehouse import Warehouse
from expectations.gate import BarGate
from tests.servers.coinbase import CoinbaseServer
from tests.servers.market import Market
from tests.support import EVER, instruments_of

PAIRS = ("BTC/USD", "ETH/USD")


@dataclass
class Remote:
    """A store, a landing zone and a provider of candles."""

    warehouse: Warehouse
    landing: Landing
    server: CoinbaseServer
    folder: Path
    timeframe: Timeframe = Timeframe.M1

    @classmethod
    def open(cls, warehouse: Warehouse, server: CoinbaseServer, folder: Path, pairs: Sequence[str] = PAIRS) -> Remote:
        """Register the pairs, with their sessions."""
        configs = [
            InstrumentConfig(symbol=pair, provider="coinbase", calendar="24/7", asset_class="crypto") for pair in pairs
        ]
        with warehouse.connection() as connection:
            sync_instruments(connection, configs)
        return cls(warehouse, Landing(warehouse.database, Lake(folder / "landing")), server, folder)

    def provider(self, *, rate_limiters: RateLimiterFactory | None = None, **limits: float) -> Provider:
        """Make the adapter, as an installation does."""
        config = ProviderConfig(
            kind="coinbase",
            options={"url": self.server.url},
            limits=CallLimits.model_validate({"calls_per_minute": 60_000, "timeout": 5, "attempts": 2, **limits}),
        )
        config = ProvidersConfig(providers={"coinbase": config})
        return build_provider(
            "coinbase",
            config,
            rate_limiters=rate_limiters or shared_rate_limiters(self.warehouse.database),
            retry=RetryPolicy(first_pause=0.01),
        )

    def instruments(self) -> dict[str, Instrument]:
        """The registered instruments by symbol."""
        return instruments_of(self.warehouse)

    def partitions(self, start: datetime, end: datetime, symbols: Iterable[str] = PAIRS) -> list[Partition]:
        """What ``[start, end)`` of the symbols asks for."""
        instruments = self.instruments()
        return partitions_between([instruments[symbol] for symbol in symbols], self.timeframe, start, end)

    def load(
        self,
        start: datetime,
        end: datetime,
        *,
        symbols: Iterable[str] = PAIRS,
        gate: Gate | None = None,
        refresh: bool = False,
        now: datetime | None = None,
        provider: Provider | None = None,
        run_id: str | None = None,
    ) -> list[PartitionResult]:
        """Ingest ``[start, end)`` of the symbols."""
        partitions = self.partitions(start, end, symbols)
        pipeline = self.pipeline(gate, now=now, run_id=run_id)
        return list(pipeline.ingest(provider or self.provider(), partitions, refresh=refresh))

    def pipeline(
        self, gate: Gate | None = None, *, now: datetime | None = None, run_id: str | None = None
    ) -> IngestPipeline:
        """What ingests into the store through the landing zone; by default with the real gate."""
        return IngestPipeline(
            self.warehouse, gate or BarGate(), self.instruments(), landing=self.landing, run_id=run_id, now=now
        )

    def bars(self, symbol: str) -> pa.Table:
        """All bars of one symbol."""
        instrument_id = self.instruments()[symbol].instrument_id
        return read_bars(self.warehouse, self.timeframe, [BarRange(instrument_id, *EVER)])

    def is_whole(self, market: Market, start: datetime, end: datetime, symbols: Iterable[str] = PAIRS) -> bool:
        """Whether exactly the market's bars are there."""
        for symbol in symbols:
            expected = market.between(symbol, self.timeframe, start, end)
            stored = self.bars(symbol)
            ts = stored["ts"].to_numpy().astype("datetime64[us]").astype("int64")
            if ts.tolist() != expected["ts"].tolist() or stored["close"].to_pylist() != expected["close"].tolist():
                return False
        return True

    def scalar(self, statement: str) -> object:
        """Return the one value that a query gives."""
        with self.warehouse.connection() as connection:
            row = connection.execute(statement.encode()).fetchone()
        return row[0] if row else None


def coinbase_at(server: CoinbaseServer, **limits: int) -> dict[str, object]:
    """Return what ``providers.yaml`` says of a provider that a test's server answers for, as fast as it can."""
    return {"kind": "coinbase", "options": {"url": server.url}, "limits": {"calls_per_minute": 60_000, **limits}}


def day(text: str) -> datetime:
    """Return a date as midnight UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
