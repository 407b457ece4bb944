"""Keeping derived bars in step with their base: takes the stale days, rolls them up and publishes, in one transaction.

Not here: the arithmetic (``rollup``), and who marks days stale (``store.publish``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import pairwise

import numpy as np
import psycopg
import pyarrow as pa

from chandlery.bars.read import Span
from chandlery.bars.rows import pair_keys
from chandlery.core.periods import Days, Ids, period_end, period_of
from chandlery.core.schema import BARS
from chandlery.core.time_ranges import Range, merge
from chandlery.core.timeframe import Timeframe, derived_from
from chandlery.core.windows import midnight
from chandlery.database.locks import lock_instruments
from chandlery.instruments.registry import Instrument
from chandlery.publishing.publish import PublishReport, publish
from chandlery.reading.planner import read_bars
from chandlery.rollups.aggregate import roll_up
from chandlery.rollups.continuous import note_days, refresh_aggregates
from chandlery.rollups.stale import take_stale
from chandlery.tiers.warehouse import Warehouse

#: Stale days rolled up in one transaction: about a million minute bars of a stock, or sixty years of days.
_DAYS_PER_STEP = {Timeframe.M1: 1500, Timeframe.D1: 15_000}


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

    Yields:
        Each step's outcome, once for each timeframe that derives from ``base``.
    """
    by_id = {instrument.instrument_id: instrument for instrument in instruments}
    if base is Timeframe.M1:
        refresh_aggregates(warehouse.database)  # what a kill left
    with warehouse.connection() as connection:
        for ids, first, last in _steps(connection, base, list(by_id), start, end):
            group = [by_id[i] for i in ids]
            yield from _step(warehouse, connection, base, group, start=first, end=last, now=now)


def count_stale(connection: psycopg.Connection) -> dict[Timeframe, int]:
    """Return how many stale days each base timeframe has, of those that have any."""
    rows = connection.execute("SELECT timeframe, count(*) FROM ops.rollup_pending GROUP BY timeframe").fetchall()
    return {Timeframe(timeframe): count for timeframe, count in rows}


def _steps(
    connection: psycopg.Connection, base: Timeframe, ids: Sequence[int], start: datetime, end: datetime
) -> Iterator[tuple[list[int], datetime, datetime]]:
    """Yield instruments and ranges that hold about ``_DAYS_PER_STEP`` stale days."""
    rows = connection.execute(
        "SELECT instrument_id, count(*), array_agg(day::timestamptz ORDER BY day) FROM ops.rollup_pending"
        " WHERE timeframe = %s AND instrument_id = ANY(%s) AND day >= %s::date AND day < %s"
        " GROUP BY instrument_id ORDER BY instrument_id",
        (base.value, list(ids), start, end),
    ).fetchall()
    limit = _DAYS_PER_STEP[base]
    group: list[int] = []
    held = 0
    for instrument_id, count, days in rows:
        if group and held + count > limit:
            yield group, start, end
            group, held = [], 0
        if count > limit:
            marks = [start, *days[limit::limit], end]
            yield from (([instrument_id], a, b) for a, b in pairwise(marks))
            continue
        group.append(instrument_id)
        held += count
    if group:
        yield group, start, end


def _step(
    warehouse: Warehouse,
    connection: psycopg.Connection,
    base: Timeframe,
    instruments: Sequence[Instrument],
    *,
    start: datetime,
    end: datetime,
    now: datetime | None,
) -> list[Derived]:
    names = {instrument.instrument_id: instrument.symbol for instrument in instruments}
    calendars = {instrument.symbol: instrument.calendar for instrument in instruments}
    done = []
    with connection.transaction():
        # Whoever publishes base bars of these finishes first; whoever comes later marks the days stale again.
        lock_instruments(connection, base, list(names), shared=True)
        ids, days = take_stale(connection, base, list(names), start, end)
        if not len(days):
            return []
        if base is Timeframe.M1:
            note_days(connection, warehouse.edition, ids, days)
        bars = read_bars(warehouse, base, _spans(base, ids, days), names, columns=BARS.names)
        for timeframe in derived_from(base):
            rolled = _stale_only(roll_up(bars, timeframe, calendars), timeframe, ids, days, names)
            report = publish(connection, warehouse, timeframe, rolled, origin="roll-up", now=now)
            done.append(Derived(timeframe, len(days), report, names))
    if base is Timeframe.M1:
        refresh_aggregates(warehouse.database)
    return done


def _spans(base: Timeframe, ids: Ids, days: Days) -> list[Span]:
    """Return the spans of base bars that the stale days' derived bars are made of, disjoint and as long as can be."""
    spans = []
    for instrument_id in np.unique(ids).tolist():
        stale = days[ids == instrument_id]
        ranges: set[Range[date]] = set()
        for timeframe in derived_from(base):
            periods = np.unique(period_of(timeframe, stale))
            ranges.update(zip(periods.tolist(), period_end(timeframe, periods).tolist(), strict=True))
        spans += [Span(instrument_id, midnight(start), midnight(end)) for start, end in merge(ranges)]
    return spans


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
