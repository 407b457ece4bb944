"""A soak: 500 symbols, a month of minutes, from a server that limits its rate and fails one call in twenty.

Everything but the vendor is real: ``alpaca-py`` and our adapter, the rate limit in the database, the landing zone, the
gate and the store. The server, in a process of its own, counts the calls of any 60 s and refuses those above its limit.
The limit is chosen so that it alone takes more than a minute, and more than this machine needs for the bars: what is
measured is how well the limit is used. ``--rows`` and ``--repeat`` change nothing here. Not here: how fast bars can be
loaded (``pipeline``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from benchmarks.harness import Comparison, Measure, Section, say
from benchmarks.soak_server import FAILING, Told, checksum, serve
from benchmarks.world import BARS_PER_MONTH, World, months, partitions, symbols, warm_up
from chandlery.bars.read import BarRange
from chandlery.config.providers import CallLimits, ProviderConfig, ProvidersConfig
from chandlery.core.partition import Partition
from chandlery.core.schema import VALUES, empty_bars
from chandlery.core.timeframe import Timeframe
from chandlery.ingest.fetch import Progress, calls_made, describe_calls
from chandlery.ingest.gate import AuditReport
from chandlery.ingest.landing import Landing
from chandlery.ingest.pipeline import IngestPipeline
from chandlery.ingest.plan import plan_requests
from chandlery.ingest.result import PartitionResult
from chandlery.instruments.registry import list_instruments
from chandlery.lake.store import Lake
from chandlery.providers.alpaca import AlpacaProvider
from chandlery.providers.base import Provider
from chandlery.providers.catalog import build_provider
from chandlery.providers.http.rate_limit import RateLimiterFactory
from chandlery.providers.http.shared_rate_limit import shared_rate_limiters
from chandlery.reading.bars import read_bars
from chandlery.tiers.warehouse import Warehouse
from expectations.gate import BarGate

_SYMBOLS = 500
_PER_PAGE = 10_000
#: Seconds that the limit alone makes the calls take.
_SECONDS = 90
_AIM = 1.2
_KEYS = {"key": "SOAK_API_KEY", "secret": "SOAK_API_SECRET"}
#: Seconds between two lines of progress.
_QUIET = 15


def run(world: World) -> Iterator[Section]:
    """Yield the result."""
    names, (start, end) = symbols(_SYMBOLS), months(1)
    planned = partitions(names, Timeframe.M1, start, end)
    pages = [
        len(wanted) * BARS_PER_MONTH // _PER_PAGE + 1 for wanted in plan_requests(planned, AlpacaProvider.limits)
    ]  # a partition is a symbol's month
    per_minute = round(sum(pages) / (1 - FAILING) / _SECONDS * 60)
    say(f"{len(names)} symbols in {len(pages)} requests of {sum(pages)} pages; {per_minute} calls a minute are allowed")
    with serve(names, start, end, per_minute) as server, world.warehouse("soak", names) as warehouse:
        warm_up()
        gate = _TimedGate()
        gate.audit(empty_bars(), planned[:1], now=datetime.now(UTC))  # imports Great Expectations
        gate.seconds = 0.0
        provider = connect(server.url, warehouse, per_minute)
        landing = Landing(warehouse.database, Lake(world.folder / "soak"))
        found = _load(warehouse, provider, gate, landing, planned)
        told = server.tell()
        _check(warehouse, found, told)
    yield _section(found, told, per_minute, len(names))


def connect(
    url: str, warehouse: Warehouse, per_minute: float, rate_limiters: RateLimiterFactory | None = None
) -> Provider:
    """Make the adapter as an installation does, with a rate limit that all processes share unless given another."""
    os.environ |= dict.fromkeys(_KEYS.values(), "soak")
    config = ProviderConfig(
        kind="alpaca", options={"url": url}, key_env=_KEYS, limits=CallLimits(calls_per_minute=per_minute)
    )
    return build_provider(
        "alpaca",
        ProvidersConfig(providers={"alpaca": config}),
        rate_limiters=rate_limiters or shared_rate_limiters(warehouse.database),
    )


class _TimedGate:
    """The gate, with a watch."""

    def __init__(self) -> None:
        self._gate = BarGate()
        self.seconds = 0.0
        self.ended = 0.0

    def audit(
        self, bars: pa.Table, partitions: Sequence[Partition], *, now: datetime, decided: pa.Table | None = None
    ) -> AuditReport:
        """See ``chandlery.ingest.gate.Gate``."""
        began = time.perf_counter()
        report = self._gate.audit(bars, partitions, now=now, decided=decided)
        self.ended = time.perf_counter()
        self.seconds += self.ended - began
        return report


@dataclass(frozen=True, slots=True)
class _Found:
    """What a load took and brought."""

    outcomes: list[PartitionResult]
    seconds: float
    calls: int | None
    gate: float
    publish: float


def _load(
    warehouse: Warehouse, provider: Provider, gate: _TimedGate, landing: Landing, planned: Sequence[Partition]
) -> _Found:
    said = 0.0

    def tell(progress: Progress) -> None:
        nonlocal said
        taken = time.perf_counter() - began
        if taken > said + _QUIET:
            said = taken
            say(f"{taken:.0f} s: {progress.rows:,} bars, {describe_calls(progress)}")

    outcomes: list[PartitionResult] = []
    publishing = judged = 0.0
    began = time.perf_counter()
    pipeline = IngestPipeline(warehouse, gate, {}, landing=landing)
    for outcome in pipeline.ingest(provider, planned, on_progress=tell):
        if gate.ended != judged:  # the first outcome of a batch: from the gate's verdict to here it was published
            judged = gate.ended
            publishing += time.perf_counter() - judged
        outcomes.append(outcome)
    return _Found(outcomes, time.perf_counter() - began, calls_made(provider), gate.seconds, publishing)


def _check(warehouse: Warehouse, found: _Found, told: Told) -> None:
    """Make sure that everything arrived exactly once and that no call was over the limit."""
    wrong = [f"{o.partition.key} is {o.status}: {o.error}" for o in found.outcomes if o.status != "published"]
    wrong += [
        f"{what}: {value:,}, not {wanted:,}"
        for what, value, wanted in (
            ("bars inserted", sum(outcome.inserted for outcome in found.outcomes), told.bars),
            ("bars revised or unchanged", sum(o.revised + o.unchanged for o in found.outcomes), 0),
            ("bars stored", _scalar(warehouse, "SELECT count(*) FROM market.bars_1m"), told.bars),
            ("revisions", _scalar(warehouse, "SELECT count(*) FROM market.bars_revision"), 0),
            ("bars landed", _scalar(warehouse, "SELECT sum(row_count)::int8 FROM ops.landing"), told.bars),
            ("calls over the limit", told.refused, 0),
            ("pages served more than once", told.repeated, 0),
            ("calls made, and counted by the server", found.calls or 0, told.calls),
        )
        if value != wanted
    ]
    wrong += [f"{name}: not the server's bars" for name, sum_ in _checksums(warehouse) if told.checksums[name] != sum_]
    if wrong:
        raise AssertionError("; ".join(wrong[:10]))


def _checksums(warehouse: Warehouse) -> Iterator[tuple[str, bytes]]:
    """Yield the checksum of each symbol's bars in the store."""
    with warehouse.connection() as connection:
        instruments = list_instruments(connection)
    start, end = months(1)
    for one in instruments:
        table = read_bars(warehouse, Timeframe.M1, [BarRange(one.instrument_id, start, end)])
        columns = {name: table[name].to_numpy() for name in VALUES}
        yield one.symbol, checksum({"ts": table["ts"].to_numpy().astype("datetime64[us]"), **columns})


def _scalar(warehouse: Warehouse, statement: str) -> int:
    with warehouse.connection() as connection:
        row = connection.execute(statement.encode()).fetchone()
    return int(row[0] or 0) if row else 0


def _section(found: _Found, told: Told, per_minute: float, count: int) -> Section:
    allowed = told.calls / per_minute * 60
    section = Section(f"soak: {count} symbols, a month of minutes, {per_minute} calls a minute, 5 % of them fail")
    section.measures += [
        Measure("alpaca, landing, gate, publish", [found.seconds], told.bars, "bars"),
        Measure("what the limit allows", [allowed], told.calls, "calls"),
    ]
    section.comparisons.append(
        Comparison(section.measures[0].name, "what the limit allows", [allowed / found.seconds], aim=round(1 / _AIM, 2))
    )
    section.facts |= {
        "time": f"{found.seconds / allowed:.2f} of what the limit allows; at most {_AIM} is hoped for",
        "calls": f"{told.calls}: {told.failed} failed with 503, {told.dropped} dropped, {told.refused} over the limit",
        "most calls in any 60 s": f"{told.busiest}, {per_minute} are allowed",
        "arrived exactly once": f"{told.bars:,} bars, equal to the server's value by value",
        "share of the time in the gate": f"{found.gate / found.seconds:.0%}",
        "share of the time in publishing": f"{found.publish / found.seconds:.0%}",
    }
    return section
