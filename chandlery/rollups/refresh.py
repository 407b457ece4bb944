"""Keeping derived bars equal to the recomputation from their base: stale days are rolled up and published.

Not here: the arithmetic (``aggregate``), and recording that days are stale (``bars.bookkeeping``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import pairwise

import numpy as np
import psycopg
import pyarrow as pa

from chandlery.bars.bookkeeping import take_stale_days
from chandlery.bars.origin import Origin
from chandlery.bars.read import BarRange
from chandlery.bars.rows import pair_keys
from chandlery.core.periods import Days, Ids, period_end, period_of
from chandlery.core.schema import BARS, with_symbols
from chandlery.core.time_ranges import Range, merge
from chandlery.core.timeframe import Timeframe, derived_from
from chandlery.core.windows import midnight
from chandlery.database.connections import Database
from chandlery.database.locks import lock_instruments
from chandlery.instruments.registry import Instrument
from chandlery.publishing.publish import PublishReport, publish
from chandlery.reading.bars import read_bars
from chandlery.rollups.aggregate import roll_up
from chandlery.rollups.continuous import note_days, refresh_aggregates
from chandlery.rollups.stale import list_stale_days
from chandlery.tiers.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class RollupLimits:
    """How much one transaction derives.

    Attributes:
        minute_days: stale days of minutes; by default about a million bars of a stock.
        days: stale days of bars of a day; by default sixty years of them.
    """

    minute_days: int = 1500
    days: int = 15_000

    def days_per_step(self, base: Timeframe) -> int:
        """Return how many stale days of ``base`` one transaction rolls up at most."""
        return self.minute_days if base is Timeframe.M1 else self.days


@dataclass(frozen=True, slots=True)
class Derived:
    """What one step of catching up did to one derived timeframe.

    Attributes:
        timeframe: which.
        days: stale days of the base that were rolled up.
        report: of the publication.
        names: symbol by instrument id.
    """

    timeframe: Timeframe
    days: int
    report: PublishReport
    names: Mapping[int, str] = field(repr=False)


def catch_up(
    warehouse: Warehouse,
    base: Timeframe,
    instruments: Sequence[Instrument],
    start: datetime,
    end: datetime,
    *,
    now: datetime | None = None,
    limits: RollupLimits = RollupLimits(),
    run_id: str | None = None,
    refresh: Callable[[Database], object] = refresh_aggregates,
) -> Iterator[Derived]:
    """Compute every bar that derives from stale days of ``base`` in ``[start, end)``, UTC.

    Goes step by step, each a transaction of its own that takes the days it rolls up off the list: a kill between two
    loses nothing, and where nothing is stale, nothing is read or written. Where the server keeps continuous aggregates,
    they are refreshed for the same days, after each step.

    Args:
        warehouse: where the bars are.
        base: ``1m`` or ``1d``.
        instruments: whose bars.
        start: inclusive.
        end: exclusive.
        now: the time to record as ``known_at``, UTC; the server's clock by default.
        limits: how much one step derives.
        run_id: the orchestrator's number of the run that derives; None outside of a run.
        refresh: brings the continuous aggregates up to date.

    Yields:
        Each step's outcome, once for each timeframe that derives from ``base``.
    """
    by_id = {instrument.instrument_id: instrument for instrument in instruments}
    origin = Origin("roll-up", run_id)
    if base is Timeframe.M1:
        refresh(warehouse.database)  # what a killed process did not refresh
    with warehouse.connection() as connection:
        stale = list_stale_days(connection, base, list(by_id), start, end)
        for ids, first, last in _steps(stale, start, end, limits.days_per_step(base)):
            group = [by_id[instrument_id] for instrument_id in ids]
            derived = _derive(warehouse, connection, base, group, start=first, end=last, origin=origin, now=now)
            if derived and base is Timeframe.M1:
                refresh(warehouse.database)
            yield from derived


def _steps(
    stale: Sequence[tuple[int, Sequence[datetime]]], start: datetime, end: datetime, limit: int
) -> Iterator[tuple[list[int], datetime, datetime]]:
    """Yield instruments and half-open ranges that hold about ``limit`` stale days."""
    group: list[int] = []
    held = 0
    for instrument_id, days in stale:
        if group and held + len(days) > limit:
            yield group, start, end
            group, held = [], 0
        if len(days) > limit:
            marks = [start, *days[limit::limit], end]
            yield from (([instrument_id], first, last) for first, last in pairwise(marks))
            continue
        group.append(instrument_id)
        held += len(days)
    if group:
        yield group, start, end


def _derive(
    warehouse: Warehouse,
    connection: psycopg.Connection,
    base: Timeframe,
    instruments: Sequence[Instrument],
    *,
    start: datetime,
    end: datetime,
    origin: Origin,
    now: datetime | None,
) -> list[Derived]:
    """Roll up and publish the stale days of these instruments in ``[start, end)``, in one transaction."""
    names = {instrument.instrument_id: instrument.symbol for instrument in instruments}
    calendars = {instrument.symbol: instrument.calendar for instrument in instruments}
    derived = []
    with connection.transaction():
        # Whoever publishes base bars of these finishes first; whoever comes later marks the days stale again.
        lock_instruments(connection, base, list(names), shared=True)
        ids, days = take_stale_days(connection, base, list(names), start, end)
        if not len(days):
            return []
        if base is Timeframe.M1:
            note_days(connection, warehouse.edition, ids, days)
        stored = read_bars(warehouse, base, _ranges(base, ids, days), columns=BARS.names)
        bars = with_symbols(stored, names)
        for timeframe in derived_from(base):
            rolled = _stale_only(roll_up(bars, timeframe, calendars), timeframe, ids, days, names)
            report = publish(connection, warehouse, timeframe, rolled, origin=origin, now=now)
            derived.append(Derived(timeframe, len(days), report, names))
    return derived


def _ranges(base: Timeframe, ids: Ids, days: Days) -> list[BarRange]:
    """Return the ranges of base bars that the stale days' derived bars are made of, disjoint and as long as can be."""
    ranges = []
    for instrument_id in np.unique(ids).tolist():
        stale = days[ids == instrument_id]
        periods_of: set[Range[date]] = set()
        for timeframe in derived_from(base):
            periods = np.unique(period_of(timeframe, stale))
            periods_of.update(zip(periods.tolist(), period_end(timeframe, periods).tolist(), strict=True))
        ranges += [BarRange(instrument_id, midnight(start), midnight(end)) for start, end in merge(periods_of)]
    return ranges


def _stale_only(bars: pa.Table, timeframe: Timeframe, ids: Ids, days: Days, names: Mapping[int, str]) -> pa.Table:
    """Keep the derived bars whose period holds a stale day: of the others, not all base bars were read."""
    if timeframe.is_intraday:
        return bars
    id_of = {symbol: instrument_id for instrument_id, symbol in names.items()}
    symbol = bars["symbol"].combine_chunks()
    owner = np.array([id_of[name] for name in symbol.dictionary.to_pylist()], np.int64)[symbol.indices.to_numpy()]
    period = period_of(timeframe, bars["ts"].to_numpy().astype("datetime64[D]"))
    stale = np.unique(pair_keys(ids, period_of(timeframe, days)))
    return bars.filter(pa.array(np.isin(pair_keys(owner, period), stale)))
