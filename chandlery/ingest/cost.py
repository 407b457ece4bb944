"""What a plan will cost: calls to remote providers, minutes of their rate limits, and bars, estimated before any call.

Not here: asking whether that is wanted (``cli``).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg

from chandlery.core.calendars import get_calendar, microseconds
from chandlery.core.partition import Partition
from chandlery.core.text import counted
from chandlery.core.timeframe import Timeframe
from chandlery.ingest.plan import IngestOptions, open_partitions, partitions_between, plan_requests
from chandlery.instruments.registry import Instrument
from chandlery.providers.base import ProviderLimits
from chandlery.providers.configured import ConfiguredProviders
from chandlery.providers.http.rate_limit import interval

#: Beyond any of these a person is asked first.
_MANY_CALLS, _MANY_MINUTES, _MANY_BARS = 1_000, 5.0, 2_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """What a plan requests of one remote provider, estimated.

    Attributes:
        provider: its name.
        symbols: how many symbols are requested of it.
        start: first requested instant, UTC.
        end: end of what is requested, UTC, exclusive.
        calls: how many calls that takes, if none has to be repeated.
        minutes: how long its rate limit lets them take at least; None where it has none.
        bars: how many bars come at most: of every minute in which its calendar is open, or of every session.
    """

    provider: str
    symbols: int
    start: datetime
    end: datetime
    calls: int
    minutes: float | None
    bars: int

    @property
    def is_high(self) -> bool:
        """Whether a person should be asked first."""
        return self.calls > _MANY_CALLS or (self.minutes or 0.0) > _MANY_MINUTES or self.bars > _MANY_BARS

    def __str__(self) -> str:
        """Return it in one line, for people."""
        span = f"{self.start:%Y-%m-%d}..{self.end:%Y-%m-%d}"
        time = (
            f"about {counted(round(self.minutes), 'minute')} at least, "
            if self.minutes is not None and self.minutes >= 1
            else ""
        )
        return (
            f"{self.provider}: {counted(self.symbols, 'symbol')}, {span}:"
            f" about {counted(self.calls, 'call')}, {time}up to {counted(self.bars, 'bar')}"
        )


def estimate_costs(
    connection: psycopg.Connection,
    ranges: Mapping[Instrument, tuple[datetime, datetime]],
    timeframe: Timeframe,
    providers: ConfiguredProviders,
    options: IngestOptions,
) -> list[Cost]:
    """Return what it costs to ingest these ranges, by remote provider; others cost nothing.

    Args:
        connection: to the market database.
        ranges: half-open, UTC, of each instrument; instruments that are not registered yet have ids of their own.
        timeframe: of the bars.
        providers: that are configured.
        options: which provider is called, and whether what is complete and final is requested, too.
    """
    remote = providers.remote_limits()
    partitions: dict[str, list[Partition]] = defaultdict(list)
    for instrument, (start, end) in ranges.items():
        name = options.provider or instrument.provider
        if name in remote:
            partitions[name] += partitions_between([instrument], timeframe, start, end)
    costs = []
    for name, requested in sorted(partitions.items()):
        wanted = requested if options.refresh else open_partitions(connection, requested)[0]
        wanted = [partition for partition in wanted if partition.start < partition.end]
        if wanted:
            costs.append(_cost(name, wanted, remote[name], providers.calls_per_minute(name)))
    return costs


def _cost(name: str, partitions: Sequence[Partition], limits: ProviderLimits, per_minute: float | None) -> Cost:
    calls = sum(_calls(request, limits) for request in plan_requests(partitions, limits))
    return Cost(
        provider=name,
        symbols=len({partition.symbol for partition in partitions}),
        start=min(partition.start for partition in partitions),
        end=max(partition.end for partition in partitions),
        calls=calls,
        minutes=None if per_minute is None else calls * interval(per_minute) / 60,
        bars=sum(map(_bars, partitions)),
    )


def _calls(request: Sequence[Partition], limits: ProviderLimits) -> int:
    """Return how many calls a request takes.

    Where it may be of several symbols, the answer comes in pages of bars; otherwise, each call is for a part of the
    time.
    """
    size = limits.bars_per_call.get(request[0].timeframe)
    if size is None:
        return 1
    if limits.symbols_per_request > 1:
        return max(1, math.ceil(sum(map(_bars, request)) / size))
    span = microseconds(request[-1].end) - microseconds(request[0].start)
    return max(1, math.ceil(span / request[0].timeframe.microseconds / size))


def _bars(partition: Partition) -> int:
    """Return how many bars there are at most in the sessions of a partition."""
    calendar = get_calendar(partition.calendar)
    if not partition.timeframe.is_intraday:
        sessions = calendar.between(partition.start, partition.end)
        return int(sessions.stop - sessions.start)
    within = calendar.overlapping(partition.start, partition.end)
    start, end = microseconds(partition.start), microseconds(partition.end)
    open_for = calendar.closes[within].clip(max=end) - calendar.opens[within].clip(min=start)
    minutes: int = int(open_for.sum()) // partition.timeframe.microseconds
    return minutes
