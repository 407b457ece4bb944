"""What tests of remote providers share: an installation's parts around a server of candles on loopback."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from chandlery.audit import Gate, Partition
from chandlery.config import InstrumentConfig
from chandlery.ingest import ingest
from chandlery.instruments import Instrument, list_instruments, sync_instruments
from chandlery.judging import Outcome
from chandlery.lake.files import Lake
from chandlery.landing import Landing
from chandlery.providers.base import Provider
from chandlery.providers.budget import BudgetFactory
from chandlery.providers.config import CallLimits, ProviderConfig, ProvidersConfig
from chandlery.providers.registry import build_provider
from chandlery.reader import read_bars
from chandlery.store.budget import shared_budgets
from chandlery.store.connect import Database
from chandlery.store.read import Span
from chandlery.timeframe import Timeframe
from expectations.gate import BarGate
from tests.servers.coinbase import CoinbaseServer
from tests.servers.market import Market
from tests.support import EVER

PAIRS = ("BTC/USD", "ETH/USD")


@dataclass
class Remote:
    """A store, a landing zone and a provider of candles."""

    database: Database
    landing: Landing
    server: CoinbaseServer
    folder: Path
    timeframe: Timeframe = Timeframe.M1

    @classmethod
    def open(cls, database: Database, server: CoinbaseServer, folder: Path, pairs: Sequence[str] = PAIRS) -> Remote:
        """Register the pairs, with their sessions."""
        configs = [
            InstrumentConfig(symbol=pair, provider="coinbase", calendar="24/7", asset_class="crypto") for pair in pairs
        ]
        with database.connection() as connection:
            sync_instruments(connection, configs)
        return cls(database, Landing(database, Lake(folder / "landing")), server, folder)

    def provider(self, *, budgets: BudgetFactory | None = None, **limits: float) -> Provider:
        """Make the adapter, as an installation does."""
        config = ProviderConfig(
            kind="coinbase",
            options={"url": self.server.url},
            limits=CallLimits.model_validate({"calls_per_minute": 60_000, "timeout": 5, "attempts": 2, **limits}),
        )
        config = ProvidersConfig(providers={"coinbase": config})
        return build_provider("coinbase", config, budgets=budgets or shared_budgets(self.database))

    def instruments(self) -> dict[str, Instrument]:
        """The registered instruments by symbol."""
        with self.database.connection() as connection:
            return {instrument.symbol: instrument for instrument in list_instruments(connection)}

    def partitions(self, start: datetime, end: datetime, symbols: Iterable[str] = PAIRS) -> list[Partition]:
        """What ``[start, end)`` of the symbols asks for."""
        return [
            Partition(
                symbol=symbol,
                calendar="24/7",
                timeframe=self.timeframe,
                window=window,
                start=max(start, window.start),
                end=min(end, window.end),
            )
            for symbol in symbols
            for window in self.timeframe.windows(start, end)
        ]

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
    ) -> list[Outcome]:
        """Ingest ``[start, end)`` of the symbols."""
        return list(
            ingest(
                self.database,
                provider or self.provider(),
                gate or BarGate(),
                self.partitions(start, end, symbols),
                landing=self.landing,
                refresh=refresh,
                now=now,
            )
        )

    def bars(self, symbol: str) -> pa.Table:
        """All bars of one symbol."""
        instrument_id = self.instruments()[symbol].instrument_id
        return read_bars(self.database, self.timeframe, [Span(instrument_id, *EVER)], {instrument_id: symbol})

    def is_whole(self, market: Market, start: datetime, end: datetime, symbols: Iterable[str] = PAIRS) -> bool:
        """Whether exactly the market's bars are there."""
        for symbol in symbols:
            wanted = market.between(symbol, self.timeframe, start, end)
            found = self.bars(symbol)
            ts = found["ts"].to_numpy().astype("datetime64[us]").astype("int64")
            if ts.tolist() != wanted["ts"].tolist() or found["close"].to_pylist() != wanted["close"].tolist():
                return False
        return True

    def scalar(self, statement: str) -> object:
        """Return the one value that a query gives."""
        with self.database.connection() as connection:
            row = connection.execute(statement.encode()).fetchone()
        return row[0] if row else None


def day(text: str) -> datetime:
    """Return a date as midnight UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
