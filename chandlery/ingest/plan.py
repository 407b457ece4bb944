"""What a run does: which partitions it takes, what of them is still open, and the requests that bring it.

Not here: the symbols and ranges that a person names (``request``), and the keys that an orchestrator has
(``pipelines.partitions``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby

import numpy as np
import psycopg

from chandlery.core.calendars import Calendar, get_calendar
from chandlery.core.partition import Listing, Partition
from chandlery.core.timeframe import Timeframe, Window
from chandlery.core.windows import DAY_US, instant
from chandlery.coverage.requested import final_sessions, session_slice
from chandlery.errors import UnknownSymbolError, UsageError
from chandlery.instruments.registry import Instrument
from chandlery.providers.base import ProviderLimits

_BARS_PER_DAY = {Timeframe.M1: 1440, Timeframe.D1: 1}


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How a run ingests; none of it has to be given.

    Attributes:
        provider: name in ``providers.yaml``; each instrument's own by default.
        provider_options: override the options of the provider, as ``{"path": ...}``.
        refresh: request from a remote provider also what is complete and final.
        replay_since: call no provider; process again the answers that landed at this instant (UTC) or later.
        retract: end the bars that a person's files held before and hold no longer.
    """

    provider: str | None = None
    provider_options: Mapping[str, object] = field(default_factory=dict)
    refresh: bool = False
    replay_since: datetime | None = None
    retract: bool = False


@dataclass(frozen=True, slots=True)
class IngestPlan:
    """What to ingest.

    Attributes:
        timeframe: ``1m`` or ``1d``.
        ranges: the half-open range, UTC, of each instrument.
        options: how.
        max_rejected_share: overrides the gate's limit, 0 to 1.
    """

    timeframe: Timeframe
    ranges: Mapping[Instrument, tuple[datetime, datetime]]
    options: IngestOptions = IngestOptions()
    max_rejected_share: float | None = None


def parse_keys(keys: Iterable[str], timeframe: Timeframe) -> list[tuple[str, Window]]:
    """Return (symbol, window) of each key, as in ``AAPL|2024-01``."""
    # A symbol never holds a pipe sign; Dagster sorts the dimensions by name, so "symbol" comes before "window".
    pairs = (key.rsplit("|", 1) for key in keys)
    return [(symbol, timeframe.window(window)) for symbol, window in pairs]


@dataclass(frozen=True, slots=True)
class KeySelection:
    """The partitions that an orchestrator gave to a run, by what the run does with them.

    Attributes:
        taken: keys of those that it ingests.
        strangers: symbols that it is not for, and that only stand between those which it is for.
        unregistered: symbols that are no registered instruments.
    """

    taken: Sequence[str]
    strangers: Sequence[str]
    unregistered: Sequence[str]


def select_keys(
    keys: Sequence[str], instruments: Mapping[str, Listing], symbols: Collection[str] | None = None
) -> KeySelection:
    """Return which of an orchestrator's partitions a run ingests.

    Args:
        keys: of the partitions, as ``parse_keys`` reads them.
        instruments: by symbol.
        symbols: those that the run is for; all by default.

    Raises:
        UsageError: one of ``symbols`` is unknown.
    """
    chosen = None if symbols is None else frozenset(symbols)
    if chosen and (unknown := chosen - instruments.keys() - {key.rpartition("|")[0] for key in keys}):
        raise UsageError(f"symbols: {' '.join(sorted(unknown))}: not registered; run `chandlery init`")
    taken: list[str] = []
    strangers: dict[str, None] = {}
    unregistered: dict[str, None] = {}
    for key in keys:
        symbol, _, _ = key.rpartition("|")
        if chosen is not None and symbol not in chosen:
            strangers[symbol] = None
        elif symbol not in instruments:
            unregistered[symbol] = None
        else:
            taken.append(key)
    return KeySelection(taken, list(strangers), list(unregistered))


def plan_partitions(
    keys: Sequence[str],
    timeframe: Timeframe,
    instruments: Mapping[str, Listing],
    ranges: Mapping[str, tuple[datetime, datetime]],
    now: datetime | None = None,
) -> list[Partition]:
    """Return the partitions of ``keys``: each window as far as it is past, and within its symbol's range.

    Args:
        keys: of an orchestrator's partitions, as ``parse_keys`` reads them.
        timeframe: of the bars.
        instruments: by symbol.
        ranges: half-open, UTC, by symbol; the whole window of a symbol that is not named.
        now: the present, UTC; the clock by default.

    Raises:
        UnknownSymbolError: a key's symbol is not a registered instrument.
    """
    now = now or datetime.now(UTC)
    planned = []
    for symbol, window in parse_keys(keys, timeframe):
        if symbol not in instruments:
            raise UnknownSymbolError(
                f"partition {symbol}|{window.key}: {symbol!r} is not registered; run `chandlery init`"
            )
        first, last = ranges.get(symbol, (window.start, window.end))
        past = min(last, max(now, window.start))
        planned.append(Partition.of(instruments[symbol], timeframe, window, first, past))
    return planned


def partitions_between(
    instruments: Iterable[Listing], timeframe: Timeframe, start: datetime, end: datetime
) -> list[Partition]:
    """Return the partitions that make up ``[start, end)``, UTC, of each instrument, in the order of ``instruments``."""
    return [
        Partition.of(instrument, timeframe, window, start, end)
        for instrument in instruments
        for window in timeframe.windows(start, end)
    ]


def open_partitions(
    connection: psycopg.Connection, partitions: Sequence[Partition]
) -> tuple[list[Partition], list[Partition]]:
    """Return what has to be requested: each partition from its first session that is not final to its last.

    Args:
        connection: to the market database.
        partitions: of one timeframe.

    Returns:
        The partitions that are still open, narrowed, and those of which every session that began is final.
    """
    if not partitions:
        return [], []
    timeframe = partitions[0].timeframe
    calendars = {partition.instrument_id: partition.calendar for partition in partitions}
    final = final_sessions(connection, timeframe, calendars)
    still_open, complete = [], []
    for partition in partitions:
        calendar = get_calendar(partition.calendar)
        sessions = session_slice(calendar, timeframe, partition.start, partition.end)
        remaining = np.flatnonzero(~final[partition.instrument_id][sessions])
        if not len(remaining):
            complete.append(partition)
            continue
        first, last = sessions.start + int(remaining[0]), sessions.start + int(remaining[-1])
        start = max(partition.start, _request_start(calendar, timeframe, first))
        end = partition.end if last == sessions.stop - 1 else _request_start(calendar, timeframe, last + 1)
        still_open.append(replace(partition, start=start, end=min(end, partition.end)))
    return still_open, complete


def _request_start(calendar: Calendar, timeframe: Timeframe, session: int) -> datetime:
    """Return where a request for one session begins: intraday at the close before, for the extended hours between."""
    if timeframe is Timeframe.D1:
        micros = calendar.sessions[session] * DAY_US
    else:
        micros = calendar.closes[session - 1] if session else calendar.opens[session]
    return instant(int(micros))


def plan_requests(partitions: Sequence[Partition], limits: ProviderLimits) -> Iterator[list[Partition]]:
    """Divide ``partitions`` into requests, each of one range of time.

    Symbols of the same range share a request, as far as ``limits`` allow; the range of a symbol that is too long for
    one request is divided between partitions.
    """
    spans = []
    ordered = sorted(partitions, key=lambda p: (p.symbol, p.start))
    for _, of_symbol in groupby(ordered, key=lambda p: p.symbol):
        spans += list(_contiguous(list(of_symbol), limits.bars_per_request))
    spans.sort(key=lambda span: (span[0].start, span[-1].end))
    for _, alike in groupby(spans, key=lambda span: (span[0].start, span[-1].end)):
        request: list[Partition] = []
        symbols = 0
        for span in alike:
            full = symbols >= limits.symbols_per_request
            if request and (full or _estimate(request) + _estimate(span) > limits.bars_per_request):
                yield request
                request, symbols = [], 0
            request += span
            symbols += 1
        yield request


def _contiguous(partitions: list[Partition], rows: int) -> Iterator[list[Partition]]:
    span: list[Partition] = []
    for partition in partitions:
        if span and (partition.start != span[-1].end or _estimate([*span, partition]) > rows):
            yield span
            span = []
        span.append(partition)
    if span:
        yield span


def _estimate(partitions: Sequence[Partition]) -> int:
    days = sum((partition.end - partition.start).days + 1 for partition in partitions)
    return days * _BARS_PER_DAY[partitions[0].timeframe]
