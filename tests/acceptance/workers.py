"""What the processes do that the tests of kills and of concurrency start.

They are forked from a server that has imported this module, so that each is at work within milliseconds.
"""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext

import pyarrow as pa
import pyarrow.compute as pc

from chandlery.core.calendars import get_calendar
from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from chandlery.ingest.gate import REJECTED, AuditReport, Verdict
from chandlery.ingest.pipeline import IngestPipeline
from chandlery.instruments.registry import load_instruments
from chandlery.providers.base import BarReply, BarRequest
from chandlery.providers.simulated.provider import SimulatedProvider
from chandlery.publishing.publish import publish
from chandlery.rollups.refresh import catch_up
from tests.support import EVER, Bar, open_warehouse, table, utc

SYMBOLS = ("AAA", "BBB", "CCC")
YEAR = 2023

get_calendar("XNYS")  # two seconds, once instead of in every process


def context() -> ForkServerContext:
    """Return how to start processes."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])
    return processes


class AcceptingGate:
    """Accepts everything."""

    def audit(
        self, bars: pa.Table, partitions: Sequence[Partition], *, now: datetime, decided: pa.Table | None = None
    ) -> AuditReport:
        """See ``chandlery.ingest.gate.Gate``."""
        verdicts = [Verdict(partition, True, 0, [], REJECTED.empty_table()) for partition in partitions]
        return AuditReport(verdicts, bars)


@dataclass(frozen=True)
class EarlierProvider:
    """What the simulated provider might have said before it corrected one bar in seven."""

    name = "simulated"
    timeframes = SimulatedProvider.timeframes
    limits = SimulatedProvider.limits

    def fetch(self, request: BarRequest) -> BarReply:
        """See ``chandlery.providers.base.Provider``."""
        bars = SimulatedProvider().fetch(request).bars
        wrong = pc.equal(pc.bit_wise_and(pa.array(range(bars.num_rows)), 7), 0)
        volume = pc.if_else(wrong, pc.add(bars["volume"], 1.0), bars["volume"])
        return BarReply(bars.set_column(bars.schema.get_field_index("volume"), "volume", volume))

    def span(self, symbol: str, timeframe: Timeframe) -> tuple[datetime, datetime] | None:
        """See ``chandlery.providers.base.Provider``."""
        return None


def fill(dsn: str, months: Sequence[int] = range(1, 13), *, earlier: bool = False) -> None:
    """Ingest these months of ``YEAR``, a quarter at a time, each followed by its roll-ups."""
    warehouse = open_warehouse(dsn)
    with warehouse.connection() as connection:
        instruments = load_instruments(connection)
    windows = [Timeframe.M1.window(f"{YEAR}-{month:02d}") for month in months]
    provider = EarlierProvider() if earlier else SimulatedProvider()
    for first in range(0, len(windows), 3):
        partitions = [
            Partition.of(instrument, Timeframe.M1, window)
            for instrument in instruments.values()
            for window in windows[first : first + 3]
        ]
        outcomes = list(IngestPipeline(warehouse, AcceptingGate(), instruments).ingest(provider, partitions))
        assert {outcome.status for outcome in outcomes} == {"published"}
        list(catch_up(warehouse, Timeframe.M1, list(instruments.values()), *EVER))
    warehouse.close()


@dataclass(frozen=True)
class Published:
    """A batch that a process published: bars of one minute each, all with the same volume."""

    volume: float
    symbols: tuple[str, ...]
    start: datetime
    minutes: int
    known_at: datetime
    revised: int


def contend(dsn: str, number: int, rounds: int, go: Connection, done: Connection) -> None:
    """Publish ``rounds`` batches that overlap with those of the others, and send back what they were."""
    chance = random.Random(number)
    warehouse = open_warehouse(dsn)
    batches = []
    go.recv()
    for turn in range(rounds):
        symbols = tuple(chance.sample(SYMBOLS, chance.randint(1, len(SYMBOLS))))
        start = utc("2024-01-31T20:00") + timedelta(days=30 * (turn // 2), minutes=chance.randint(0, 300))
        minutes = chance.choice([20, 200, 900])
        volume = float(1000 * number + turn)
        bars = [
            Bar(symbol, start + timedelta(minutes=n), volume=volume, source=f"test:{number}")
            for symbol in symbols
            for n in range(minutes)
        ]
        with warehouse.connection() as connection:
            report = publish(connection, warehouse, Timeframe.M1, table(bars))
        batches.append(Published(volume, symbols, start, minutes, report.known_at, report.revised))
    done.send(batches)
    warehouse.close()


def keep_up(dsn: str, go: Connection, done: Connection) -> None:
    """Roll up whatever is stale, again and again, until told to stop."""
    warehouse = open_warehouse(dsn)
    with warehouse.connection() as connection:
        instruments = load_instruments(connection)
    steps = 0
    go.recv()
    until = datetime.now(UTC) + timedelta(seconds=60)
    while not go.poll(0) and datetime.now(UTC) < until:
        steps += len(list(catch_up(warehouse, Timeframe.M1, list(instruments.values()), *EVER)))
    done.send(steps)
    warehouse.close()
