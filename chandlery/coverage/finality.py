"""How settled a bar is: forming, provisional or final.

It follows from the bar itself and from which sessions were final at the moment of the question; no bar is read for it.
Not here: what makes a session final (``requested``), and what is missing of one (``session_states``).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa

from chandlery.core.arrow import number_array, numpy_of, text_array
from chandlery.core.calendars import Calendar, Int64s, get_calendar, microseconds
from chandlery.core.periods import Days, period_end, period_of
from chandlery.core.schema import is_derived
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import DAY_US
from chandlery.coverage.requested import final_sessions
from chandlery.database.named_queries import query
from chandlery.instruments.registry import Instrument

Mask: TypeAlias = npt.NDArray[np.bool_]

_MINUTE_US = 60_000_000
#: A derived bar is made of sessions that are fewer days than this from its label.
_REACH_DAYS = 31
_PAUSE = 0.002


class BarState(StrEnum):
    """How settled a bar is.

    A bar ends where its width does, intraday; one of a day, week or month with its last session.

    Attributes:
        FORMING: learned before it had ended, and not final since.
        PROVISIONAL: learned after it had ended; the provider may still change it by itself.
        FINAL: it has ended, and every session that it is made of is final, so that only a restatement changes it. The
            sessions are those of its base bars, and of minutes where a day was rolled up from these; a minute outside
            of trading belongs to the nearest one. A bar that was
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
    _markets: Mapping[int, _Market] = field(repr=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of bars that their states follow from."""
        return ("known_at",) if self._timeframe.is_intraday else ("known_at", "source")

    def states(self, bars: pa.Table) -> pa.DictionaryArray:
        """Return the ``BarState`` of each bar, as text.

        Args:
            bars: ``instrument_id``, ``ts`` and ``columns`` of schema ``core.schema.STORED``, read after this was and as
                of the same moment, sorted by instrument and ``ts``, of no instruments but those that this was read for.
        """
        return pa.DictionaryArray.from_arrays(
            number_array(self._places(bars)), text_array(state.value for state in BarState)
        )

    def are_final(self, bars: pa.Table) -> npt.NDArray[np.bool_]:
        """Return which of ``bars`` are final; see ``states``."""
        return np.equal(self._places(bars), _FINAL)

    def _places(self, bars: pa.Table) -> npt.NDArray[np.int32]:
        """Return the place in ``BarState`` of each bar's state."""
        ids = numpy_of(bars["instrument_id"])
        ts, known_at = (numpy_of(bars[name]).astype("datetime64[us]").view(np.int64) for name in ("ts", "known_at"))
        derived = _are_derived(bars) if "source" in self.columns else np.zeros(len(ts), np.bool_)
        places = np.empty(len(ts), np.int32)
        cuts = [0, *(np.flatnonzero(ids[1:] != ids[:-1]) + 1), len(ts)] if len(ts) else []
        for start, stop in pairwise(cuts):
            of_one = slice(start, stop)
            market = self._markets[int(ids[start])]
            places[of_one] = self._states(market, market.by_base, ts[of_one], known_at[of_one])
            if market.by_minutes is not None and derived[of_one].any():
                rolled_up = np.flatnonzero(derived[of_one]) + start
                places[rolled_up] = self._states(market, market.by_minutes, ts[rolled_up], known_at[rolled_up])
        return places

    def _states(self, market: _Market, settled: _Settled, ts: Int64s, known_at: Int64s) -> npt.NDArray[np.int32]:
        first, after, end = market.extent(self._timeframe, ts)
        if self._timeframe is Timeframe.M1:
            final = settled.final[first]
        else:
            missing = np.concatenate([[0], np.cumsum(~settled.final)])
            final = (after > first) & (missing[after] == missing[first])
        if end[-1] > self._moment:
            final &= end <= self._moment
        if len(settled.stale):
            days = ts.view("datetime64[us]").astype("datetime64[D]")
            final &= ~np.isin(period_of(self._timeframe, days), period_of(self._timeframe, settled.stale))
        states = np.where(known_at < end, np.int32(_FORMING), np.int32(_PROVISIONAL))
        states[final] = _FINAL
        return states


def read_finality(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    instruments: Sequence[Instrument],
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
        instruments: whose bars.
        start: of the bars, UTC, inclusive.
        end: of the bars, UTC, exclusive.
        as_of: return what was final then, UTC, by the calendars and listings of today; now by default. Waits for the
            transactions that are recording what became final, so that the answer is the same ever after. That the base
            of a derived bar changed since it was computed is known of the present alone: as of a time, such a bar may
            be called final already.
    """
    if as_of is not None:
        _wait_for_recorders(connection)
    calendars = {instrument.instrument_id: instrument.calendar for instrument in instruments}
    bases = (timeframe.base,) if timeframe.is_intraday else (Timeframe.M1, Timeframe.D1)
    # In this order: a session is recorded as final after its bars, and they after the days that they make stale.
    # Minutes come first, because a day ceases to be stale when it makes its week so.
    final = {base: final_sessions(connection, base, calendars, as_of) for base in bases}
    stale = {base: {} if as_of else _stale_days(connection, base, calendars, start, end) for base in bases}
    markets = {instrument.instrument_id: _market(instrument, timeframe, final, stale) for instrument in instruments}
    return Finality(timeframe, microseconds(as_of or datetime.now(UTC)), markets)


def _market(
    instrument: Instrument,
    timeframe: Timeframe,
    final: Mapping[Timeframe, Mapping[int, Mask]],
    stale: Mapping[Timeframe, Mapping[int, Days]],
) -> _Market:
    owner, calendar = instrument.instrument_id, get_calendar(instrument.calendar)
    of_base = _no_days() if timeframe.is_ingested else stale[timeframe.base].get(owner, _no_days())
    by_base = _Settled(final[timeframe.base][owner], of_base)
    if timeframe.is_intraday:
        return _Market(calendar, instrument, by_base)
    of_minutes = stale[Timeframe.M1].get(owner, _no_days())
    _, places = calendar.trading_on(of_minutes.astype(np.int64))
    sessions = calendar.sessions[places].astype("datetime64[D]")
    by_minutes = _Settled(final[Timeframe.M1][owner], np.concatenate([of_base, sessions]))
    return _Market(calendar, instrument, by_base, by_minutes)


@dataclass(frozen=True, slots=True)
class _Settled:
    """Which sessions are final, and the days whose derived bars wait to be computed."""

    final: Mask
    stale: Days


@dataclass(frozen=True, slots=True)
class _Market:
    """One instrument: its sessions, and which are settled: by its base bars, and by minutes for bars made of these."""

    calendar: Calendar
    instrument: Instrument
    by_base: _Settled
    by_minutes: _Settled | None = None

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
            # The sessions of a first or last week or month on which it was not listed are never requested.
            first, after = (np.clip(places, *self._listed()) for places in (first, after))
        close = self.calendar.closes[np.clip(after - 1, 0, None)]
        return first, after, np.where(after > first, close, ends * DAY_US)

    def _listed(self) -> tuple[int, int]:
        """Return the sessions ``[first, after)`` on which the instrument was listed."""
        sessions, listed, delisted = self.calendar.sessions, self.instrument.listed, self.instrument.delisted
        first = 0 if listed is None else int(np.searchsorted(sessions, _day(listed)))
        after = len(sessions) if delisted is None else int(np.searchsorted(sessions, _day(delisted)))
        return first, max(first, after)


def _stale_days(
    connection: psycopg.Connection, base: Timeframe, ids: Iterable[int], start: datetime, end: datetime
) -> dict[int, Days]:
    values = {"timeframe": base.value, "ids": list(ids), "start": start, "end": end, "reach": _REACH_DAYS}
    rows = connection.execute(query("coverage/stale_days"), values)
    return {instrument_id: np.array(days, np.int64).astype("datetime64[D]") for instrument_id, days in rows}


def _are_derived(bars: pa.Table) -> Mask:
    """Return which bars are days that were rolled up from minutes, or made of such days alone."""
    source = bars["source"].combine_chunks()
    derived = np.array([is_derived(name) for name in source.dictionary.to_pylist()], np.bool_)
    return np.asarray(derived[numpy_of(source.indices)]) if len(derived) else np.zeros(len(source), np.bool_)


def _wait_for_recorders(connection: psycopg.Connection) -> None:
    """Wait for the transactions that are recording what became final: their time of it may be past, and unseen yet.

    A transaction that starts later notes a later time. Looking at the locks, rather than taking one, hinders nobody.
    """
    waiting = _recorders(connection)
    while waiting:
        time.sleep(_PAUSE)
        waiting &= _recorders(connection)


def _recorders(connection: psycopg.Connection) -> set[str]:
    rows = connection.execute(query("coverage/recorders_of_final"))
    return {row[0] for row in rows}


def _day(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def _no_days() -> Days:
    return np.empty(0, "datetime64[D]")
