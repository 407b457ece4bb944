"""Keeping derived bars equal to the recomputation from their base: stale days are rolled up and published.

Not here: the arithmetic (``aggregate``), and recording that days are stale (``bars.bookkeeping``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise

import numpy as np
import psycopg

from chandlery.bars.bookkeeping import note_failed_days, take_stale_days
from chandlery.bars.origin import Origin
from chandlery.bars.rows import pair_keys
from chandlery.core.schema import with_symbols
from chandlery.core.timeframe import Timeframe, rolled_up_from
from chandlery.core.windows import midnight
from chandlery.database.arrays import Column
from chandlery.database.connections import Database
from chandlery.database.errors import explain, is_driver_error
from chandlery.database.locks import lock_instruments
from chandlery.database.named_queries import query
from chandlery.errors import LakeError, StoreUnavailableError
from chandlery.instruments.registry import Instrument
from chandlery.publishing.publish import PublishReport, publish_together
from chandlery.reading.bars import read_base
from chandlery.rollups.aggregate import BaseBars
from chandlery.rollups.continuous import note_days, refresh_aggregates
from chandlery.rollups.ended import find_ended, without_session
from chandlery.rollups.periods import (
    NO_SESSIONS,
    InstrumentDays,
    Sessions,
    base_ranges,
    keep_stale,
    sessions_in,
)
from chandlery.rollups.side_by_side import side_by_side
from chandlery.rollups.stale import list_stale_days
from chandlery.tiers.warehouse import Warehouse

_ONE_DAY = timedelta(days=1)
#: So much of an error's text is kept with the days that failed.
_LONGEST_ERROR = 500


@dataclass(frozen=True, slots=True)
class RollupLimits:
    """How much one transaction derives, and how many do at the same time.

    Attributes:
        minute_days: stale days of minutes; by default about half a million bars of a stock.
        days: stale days of bars of a day; by default thirty years of them.
        at_once: transactions that derive at the same time, each on a connection of its own.
        worth_dividing: stale days of minutes that are divided, or ten times as many of bars of a day.
    """

    minute_days: int = 750
    days: int = 7500
    at_once: int = 2
    worth_dividing: int = 30

    def days_per_step(self, base: Timeframe, stale: int) -> int:
        """Return how many of ``stale`` days of ``base`` one transaction rolls up at most."""
        most, few = self.minute_days, self.worth_dividing
        if base is not Timeframe.M1:
            most, few = self.days, self.worth_dividing * 10
        if stale < max(few, self.at_once):
            return most
        rounds = -(-stale // (most * self.at_once))
        return -(-stale // (rounds * self.at_once))


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
    only_due: bool = False,
    refresh: Callable[[Database], object] = refresh_aggregates,
) -> Iterator[Derived]:
    """Compute every bar that is rolled up from stale days of ``base`` in ``[start, end)``, UTC.

    Minutes fill days as well, where no provider gave them, and what derives from these days follows. Goes step by step,
    each a transaction of its own that takes the days it rolls up off the list: a kill between two loses nothing, and
    where nothing is stale, nothing is read or written. Continuous aggregates are refreshed after each step.

    Args:
        warehouse: where the bars are.
        base: ``1m`` or ``1d``.
        instruments: whose bars.
        start: inclusive.
        end: exclusive.
        now: the time to record as ``known_at``, UTC; the server's clock by default. With it, steps follow each other.
        limits: how much one step derives.
        run_id: the orchestrator's number of the run that derives; None outside of a run.
        only_due: leave days that failed and wait for another try.
        refresh: brings the continuous aggregates up to date.

    Yields:
        Each step's outcome, once for each timeframe that it rolled up.

    Raises:
        LakeError: files of some instruments cannot be read; names each. All others were rolled up.
    """
    if base is Timeframe.M1:
        refresh(warehouse.database)  # what a killed process did not refresh
    work = _Work(warehouse, base, Origin("roll-up", run_id), now, only_due)
    for derived in work.derive_all(instruments, (start, end), limits):
        if base is Timeframe.M1:
            refresh(warehouse.database)
        yield from derived
    if base is Timeframe.M1:
        # Days that minutes made now, or in a run that was killed before it went on from them.
        # A session may begin on the day before, or end on the day after.
        more = partial(catch_up, now=now, limits=limits, run_id=run_id, only_due=only_due)
        yield from more(warehouse, Timeframe.D1, instruments, start - _ONE_DAY, end + _ONE_DAY)
    work.raise_failures()


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


@dataclass(frozen=True, slots=True)
class _Work:
    """What rolls stale days of one base up; ``failures`` gathers what could not be.

    Days that fail stay on the list, with the error and the time of the next try. A damaged file of the lake keeps only
    its own instrument from being rolled up.
    """

    warehouse: Warehouse
    base: Timeframe
    origin: Origin
    now: datetime | None
    only_due: bool
    failures: list[str] = field(default_factory=list)

    def raise_failures(self) -> None:
        """Raise ``LakeError`` where files of some instruments could not be read."""
        if self.failures:
            raise LakeError("\n".join(sorted(self.failures)))

    def derive_all(
        self, instruments: Sequence[Instrument], span: tuple[datetime, datetime], limits: RollupLimits
    ) -> Iterator[list[Derived]]:
        """Roll up the stale days of these instruments in ``span``; yield what each transaction did."""
        if self.now is not None:  # so that the same history leaves the same times
            limits = replace(limits, at_once=1)
        by_id = {instrument.instrument_id: instrument for instrument in instruments}
        with self.warehouse.connection() as connection:
            stale = list_stale_days(connection, self.base, list(by_id), *span, only_due=self.only_due)
        limit = limits.days_per_step(self.base, sum(len(days) for _, days in stale))
        steps = [([by_id[each] for each in ids], first, last) for ids, first, last in _steps(stale, *span, limit)]
        yield from side_by_side(self._derive_step, steps, limits.at_once)

    def _derive_step(self, step: tuple[Sequence[Instrument], datetime, datetime]) -> Iterator[list[Derived]]:
        with self.warehouse.connection() as connection:
            yield from self._derive_apart(connection, *step)

    def _derive_apart(
        self, connection: psycopg.Connection, instruments: Sequence[Instrument], start: datetime, end: datetime
    ) -> Iterator[list[Derived]]:
        """Roll up the stale days of these instruments in ``[start, end)``; each alone where a file fails."""
        try:
            derived = self._derive(connection, instruments, start, end)
        except LakeError as error:
            if len(instruments) > 1:
                for instrument in instruments:
                    yield from self._derive_apart(connection, [instrument], start, end)
                return
            self._note_failure(connection, instruments, start, end, error)
            self.failures.append(f"{instruments[0].symbol}: {error}")
        except Exception as error:
            cause = explain(error, self.warehouse.database.dsn) if is_driver_error(error) else error
            # A server that is away is no failure of these days: they can be rolled up as soon as it is there.
            if not isinstance(cause, StoreUnavailableError):
                with suppress(psycopg.Error):
                    self._note_failure(connection, instruments, start, end, cause)
            raise
        else:
            if derived:
                yield derived

    def _note_failure(
        self,
        connection: psycopg.Connection,
        instruments: Sequence[Instrument],
        start: datetime,
        end: datetime,
        error: Exception,
    ) -> None:
        ids = [instrument.instrument_id for instrument in instruments]
        note_failed_days(connection, self.base, ids, start, end, str(error)[:_LONGEST_ERROR])

    def _derive(
        self, connection: psycopg.Connection, instruments: Sequence[Instrument], start: datetime, end: datetime
    ) -> list[Derived]:
        """Roll up and publish the stale days of these instruments in ``[start, end)``, in one transaction."""
        base = self.base
        names = {instrument.instrument_id: instrument.symbol for instrument in instruments}
        calendars = {instrument.symbol: instrument.calendar for instrument in instruments}
        by_id = {instrument.instrument_id: instrument.calendar for instrument in instruments}
        with connection.transaction():
            # Whoever publishes base bars of these finishes first; whoever comes later marks the days stale again.
            lock_instruments(connection, base, list(names), shared=True)
            stale = InstrumentDays(*take_stale_days(connection, base, list(names), start, end, only_due=self.only_due))
            if not len(stale):
                return []
            days = NO_SESSIONS
            if base is Timeframe.M1:
                note_days(connection, self.warehouse.edition, stale.ids, stale.days)
                days = _days_to_derive(connection, stale, by_id)
            ranges = base_ranges(base, stale, days)
            bars = BaseBars(with_symbols(read_base(connection, self.warehouse, base, ranges), names))
            rolled, computed = {}, {}
            for timeframe in rolled_up_from(base):
                kept = days.of if timeframe is Timeframe.D1 else stale
                rolled[timeframe] = keep_stale(bars.roll_up(timeframe, calendars), timeframe, kept, names)
                computed[timeframe] = kept
            if Timeframe.D1 in computed:
                computed[Timeframe.D1] = days.of.joined(without_session(stale, by_id))
            ended = find_ended(connection, rolled, computed, names)
            reports = publish_together(
                connection, self.warehouse, rolled, ended=ended, origin=self.origin, now=self.now
            )
        return [Derived(timeframe, len(stale), report, names) for timeframe, report in reports.items()]


def _days_to_derive(connection: psycopg.Connection, stale: InstrumentDays, calendars: Mapping[int, str]) -> Sessions:
    """Return the sessions in ``stale`` of whose day the store has no provider's own bar.

    A provider's bar that is in the lake, or that comes meanwhile, is kept by ``publish``.
    """
    sessions = sessions_in(stale, calendars)
    if not len(sessions.of):
        return sessions
    days = sessions.of.days
    values = {
        "ids": Column(sessions.of.ids.astype(np.int32)),
        "days": Column(days.astype(np.int64).astype(np.int32)),
        "first": midnight(days.min().item()),
        "last": midnight(days.max().item()),
    }
    rows = connection.execute(query("rollups/provided_days"), values).fetchall()
    provided = np.array(rows, np.int64).reshape(-1, 2)
    keys = pair_keys(provided[:, 0], provided[:, 1].astype("datetime64[D]"))
    return sessions.where(~np.isin(sessions.of.keys, keys))
