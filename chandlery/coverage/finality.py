"""How settled a bar is: forming, provisional or final.

Told from the bar itself and from which sessions were final at the moment of the question; no bar is read for it. Not
here: what makes a session final (``store.asked``), and what is missing of one (``states``).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa

from chandlery.core.calendars import Calendar, Int64s, get_calendar, microseconds
from chandlery.core.periods import Days, period_end, period_of
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import DAY_US
from chandlery.coverage.requested import final_sessions
from chandlery.instruments.registry import Instrument

Mask: TypeAlias = npt.NDArray[np.bool_]

_MINUTE_US = 60_000_000
#: A derived bar is made of sessions that are fewer days from its label.
_REACH_DAYS = 31
_PAUSE = 0.002


class BarState(StrEnum):
    """How settled a bar is.

    A bar ends where its width does, intraday; one of a day, week or month with its last session.

    Attributes:
        FORMING: learned before it had ended, and not final since.
        PROVISIONAL: learned after it had ended; the provider may still change it by itself.
        FINAL: it has ended, and every session that it is made of is final, so that only a restatement changes it. The
            sessions are those of its base bars; a minute outside of trading belongs to the nearest one. A bar that was
            forming and had the same values when its session became final is final, though its ``known_at`` is earlier.
    """

    FORMING = "forming"
    PROVISIONAL = "provisional"
    FINAL = "final"


#: Places in ``BarState``.
_FORMING, _PROVISIONAL, _FINAL = range(3)


@dataclass(frozen=True, slots=True)
class Finality:
    """Which sessions of some instruments are final, as of one moment."""

    _timeframe: Timeframe
    _moment: int
    _markets: Mapping[str, _Market] = field(repr=False)

    def states(self, bars: pa.Table) -> pa.DictionaryArray:
        """Return the ``BarState`` of each bar, as text.

        Args:
            bars: table of schema ``store.read.READ``, read after this was and as of the same moment, sorted by
                instrument and ``ts``, with no symbol but those that this was read for.
        """
        symbol = bars["symbol"].combine_chunks()
        names, codes = symbol.dictionary.to_pylist(), symbol.indices.to_numpy()
        ts, known_at = (bars[name].to_numpy().astype("datetime64[us]").view(np.int64) for name in ("ts", "known_at"))
        found = np.empty(len(ts), np.int32)
        cuts = [0, *(np.flatnonzero(codes[1:] != codes[:-1]) + 1), len(ts)] if len(ts) else []
        for start, stop in pairwise(cuts):
            mine = slice(start, stop)
            found[mine] = self._states(self._markets[names[codes[start]]], ts[mine], known_at[mine])
        return pa.DictionaryArray.from_arrays(pa.array(found), pa.array([state.value for state in BarState]))

    def _states(self, market: _Market, ts: Int64s, known_at: Int64s) -> npt.NDArray[np.int32]:
        first, after, end = market.extent(self._timeframe, ts)
        if self._timeframe is Timeframe.M1:
            final = market.final[first]
        else:
            missing = np.concatenate([[0], np.cumsum(~market.final)])
            final = (after > first) & (missing[after] == missing[first])
        if end[-1] > self._moment:
            final &= end <= self._moment
        if len(market.stale):
            days = ts.view("datetime64[us]").astype("datetime64[D]")
            final &= ~np.isin(period_of(self._timeframe, days), period_of(self._timeframe, market.stale))
        states = np.where(known_at < end, np.int32(_FORMING), np.int32(_PROVISIONAL))
        states[final] = _FINAL
        return states


def read_finality(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    instruments: Mapping[str, Instrument],
    start: datetime,
    end: datetime,
    *,
    as_of: datetime | None = None,
) -> Finality:
    """Return what is final, to tell the states of bars that are read afterwards.

    Afterwards, because then the bars are at least as new as what is said of them.

    Args:
        connection: to the database, in autocommit mode.
        timeframe: of the bars.
        instruments: by the symbol that the bars bear.
        start: of the bars, UTC, inclusive.
        end: of the bars, UTC, exclusive.
        as_of: tell what was final then, UTC, by the calendars and listings of today; now by default. Waits for whoever
            is recording what became final, so that it is the same ever after. Derived bars whose base changed since
            they were computed are told apart only now: as of a time they may be called final already.
    """
    if as_of is not None:
        _wait_for_recorders(connection)
    calendars = {instrument.instrument_id: instrument.calendar for instrument in instruments.values()}
    final = final_sessions(connection, timeframe.base, calendars, as_of)
    # In this order: a session is recorded as final after its bars, and they after the days that they make stale.
    stale = {} if timeframe.is_ingested or as_of else _stale_days(connection, timeframe, list(calendars), start, end)
    markets = {
        symbol: _Market(
            get_calendar(one.calendar), one, final[one.instrument_id], stale.get(one.instrument_id, _no_days())
        )
        for symbol, one in instruments.items()
    }
    return Finality(timeframe, microseconds(as_of or datetime.now(UTC)), markets)


@dataclass(frozen=True, slots=True)
class _Market:
    """One instrument: its sessions, which of them are final, and the days whose derived bars wait to be computed."""

    calendar: Calendar
    instrument: Instrument
    final: Mask
    stale: Days

    def extent(self, timeframe: Timeframe, ts: Int64s) -> tuple[Int64s, Int64s, Int64s]:
        """Return the sessions ``[first, after)`` that each bar is made of, and where it ends, µs since the epoch."""
        if timeframe.is_intraday:
            first, _ = self.calendar.session_of(ts)
            last = first
            if timeframe is not Timeframe.M1:
                last, _ = self.calendar.session_of(ts + timeframe.microseconds - _MINUTE_US)
            return first, last + 1, ts + timeframe.microseconds
        periods = period_of(timeframe, ts.view("datetime64[us]").astype("datetime64[D]"))
        ends = period_end(timeframe, periods).astype(np.int64)
        sessions = self.calendar.sessions
        first, after = np.searchsorted(sessions, periods.astype(np.int64)), np.searchsorted(sessions, ends)
        if timeframe is not Timeframe.D1:
            # Nobody asks for the sessions of a first or last week or month on which it was not listed.
            first, after = (np.clip(places, *self._listed()) for places in (first, after))
        close = self.calendar.closes[np.clip(after - 1, 0, None)]
        return first, after, np.where(after > first, close, ends * DAY_US)

    def _listed(self) -> tuple[int, int]:
        """Return the sessions ``[first, after)`` on which the instrument was listed."""
        sessions, one = self.calendar.sessions, self.instrument
        first = 0 if one.listed is None else int(np.searchsorted(sessions, _day(one.listed)))
        after = len(sessions) if one.delisted is None else int(np.searchsorted(sessions, _day(one.delisted)))
        return first, max(first, after)


def _stale_days(
    connection: psycopg.Connection, timeframe: Timeframe, ids: list[int], start: datetime, end: datetime
) -> dict[int, Days]:
    rows = connection.execute(
        "SELECT instrument_id, array_agg(day - date '1970-01-01') FROM ops.rollup_pending"
        " WHERE timeframe = %s AND instrument_id = ANY(%s) AND day BETWEEN %s::date - %s AND %s::date + %s"
        " GROUP BY instrument_id",
        (timeframe.base.value, ids, start, _REACH_DAYS, end, _REACH_DAYS),
    )
    return {instrument_id: np.array(days, np.int64).astype("datetime64[D]") for instrument_id, days in rows}


def _wait_for_recorders(connection: psycopg.Connection) -> None:
    """Wait for the transactions that are recording what became final: their time of it may be past, and unseen yet.

    Who starts later notes a later time. Looking at the locks, rather than taking one, hinders nobody.
    """
    waiting = _recorders(connection)
    while waiting:
        time.sleep(_PAUSE)
        waiting &= _recorders(connection)


def _recorders(connection: psycopg.Connection) -> set[str]:
    rows = connection.execute(
        "SELECT virtualtransaction FROM pg_locks WHERE relation = 'ops.finalized'::regclass"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND mode = 'RowExclusiveLock' AND granted AND pid <> pg_backend_pid()"
    )
    return {row[0] for row in rows}


def _day(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def _no_days() -> Days:
    return np.empty(0, "datetime64[D]")
