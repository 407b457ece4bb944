"""The soak in small: two processes load from one limited and failing server, with one rate limit between them.

At full size: ``python -m benchmarks --only soak``.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from benchmarks.soak import connect
from benchmarks.soak_server import SoakServer, checksum
from chandlery.config.universe import InstrumentConfig
from chandlery.core.schema import VALUES
from chandlery.core.timeframe import Timeframe
from chandlery.ingest.landing import Landing
from chandlery.ingest.pipeline import IngestPipeline
from chandlery.ingest.plan import partitions_between
from chandlery.instruments.registry import sync_instruments
from chandlery.lake.store import Lake
from chandlery.providers.http.rate_limit import LEEWAY, RateLimiter
from chandlery.providers.http.shared_rate_limit import shared_rate_limiters
from chandlery.tiers.warehouse import Warehouse
from expectations.gate import BarGate
from tests.acceptance.workers import context
from tests.servers.market import Market
from tests.support import get, instruments_of, open_warehouse, utc

SYMBOLS = [f"SIM{number:03}" for number in range(20)]
START, END = utc("2024-03-04"), utc("2024-03-09")
#: The server counts over ten seconds instead of sixty, so that a test can reach its limit. How late a call
#: may be does not shrink with that.
WINDOW = 10.0
PER_WINDOW = 60
CALLS_PER_MINUTE = PER_WINDOW * (60 + LEEWAY) / (WINDOW + LEEWAY)


class NotingRateLimiter:
    """The shared rate limiter, which notes the turn of each call.

    Args:
        limiter: shares out the calls.
        turns: where to note each: not before and not after, seconds of ``time.monotonic``, which all processes share.
    """

    def __init__(self, limiter: RateLimiter, turns: list[tuple[float, float]]) -> None:
        self._limiter, self._turns = limiter, turns
        self.pause, self.paused = limiter.pause, limiter.paused

    def reserve(self) -> float:
        """See ``RateLimiter``."""
        asked = time.monotonic()
        seconds = self._limiter.reserve()
        self._turns.append((asked + seconds, time.monotonic() + seconds))
        return seconds


class HastyServer(SoakServer):
    """Counts over ``WINDOW`` seconds."""

    def _over_limit(self, now: float) -> float | None:
        return super()._over_limit(now * 60 / WINDOW)


def load(dsn: str, url: str, folder: Path, symbols: list[str], pipe: Connection) -> None:
    """In a process: ingest these symbols when told to; send back what became of them, and the turns of its calls."""
    warehouse = open_warehouse(dsn)
    turns: list[tuple[float, float]] = []
    shared = shared_rate_limiters(warehouse.database)
    provider = connect(
        url, warehouse, CALLS_PER_MINUTE, lambda name, limit: NotingRateLimiter(shared(name, limit), turns)
    )
    provider.limits = replace(provider.limits, symbols_per_request=2)  # type: ignore[misc] - so that calls are made at once
    instruments = instruments_of(warehouse)
    planned = partitions_between([instruments[symbol] for symbol in symbols], Timeframe.M1, START, END)
    BarGate().audit(get(warehouse, Timeframe.M1, {}).drop_columns(["known_at"]), planned[:1], now=datetime.now(UTC))
    pipe.send("ready")
    pipe.recv()
    landing = Landing(warehouse.database, Lake(folder))
    outcomes = list(IngestPipeline(warehouse, BarGate(), instruments, landing=landing).ingest(provider, planned))
    pipe.send(([(o.status, o.inserted, o.revised, o.unchanged) for o in outcomes], turns))
    warehouse.close()


@pytest.mark.slow
def test_two_processes_with_one_rate_limit_bring_every_bar_once_and_never_exceed_it(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    with warehouse.connection() as connection:
        sync_instruments(connection, [InstrumentConfig(symbol=s, calendar="XNYS", provider="alpaca") for s in SYMBOLS])
        ids = dict(connection.execute("SELECT symbol, instrument_id FROM market.instrument").fetchall())
    market = Market.invent(SYMBOLS, Timeframe.M1, START, END)
    with HastyServer(market, key="soak", secret="soak", page=400, per_minute=PER_WINDOW) as server:
        pipes, processes = [], []
        for mine in (SYMBOLS[::2], SYMBOLS[1::2]):
            ours, theirs = context().Pipe()
            process = context().Process(
                target=load, args=(warehouse.database.dsn, server.url, tmp_path / "landing", mine, theirs)
            )
            process.start()
            pipes.append(ours)
            processes.append(process)
        assert [pipe.recv() for pipe in pipes] == ["ready"] * 2
        for pipe in pipes:
            pipe.send("go")
        found = [pipe.recv() for pipe in pipes]
        for process in processes:
            process.join()
    told = server.tell()
    outcomes = [outcome for mine, _ in found for outcome in mine]
    assert {status for status, *_ in outcomes} == {"published"}
    assert [sum(counts) for counts in zip(*(counts for _, *counts in outcomes), strict=True)] == [told.bars, 0, 0]
    not_before, not_after = map(sorted, zip(*itertools.chain(*(turns for _, turns in found)), strict=True))
    at = sorted(request.at for request in server.requests)
    assert told.calls == len(not_before) == len(at)
    assert all(late - early >= WINDOW for early, late in zip(not_before, not_after[PER_WINDOW:], strict=False))
    # A call that a busy machine makes later than the leeway may find its window full: never another one.
    assert told.refused <= sum(came - due > LEEWAY for due, came in zip(not_before, at, strict=True))
    assert told.failed > 0
    assert told.repeated == 0
    assert told.calls > 1.5 * PER_WINDOW
    # The rate limit was the bottleneck: it was used up, not only kept to.
    assert at[-1] - at[0] < 1.5 * told.calls * (60 + LEEWAY) / CALLS_PER_MINUTE
    for symbol in SYMBOLS:
        table = get(warehouse, Timeframe.M1, {symbol: ids[symbol]})
        columns = {name: table[name].to_numpy() for name in VALUES}
        columns["ts"] = table["ts"].to_numpy().astype("datetime64[us]").astype(np.int64)
        assert checksum(columns) == told.checksums[symbol], symbol
