"""What has to be derived because days of base bars changed: which periods, and which base bars they are made of.

Days are those of UTC. The session of a day may begin in one day and end in the next, as those of futures do. Not here:
which days changed (``stale``), and the arithmetic (``aggregate``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.bars.read import BarRange
from chandlery.bars.rows import pair_keys
from chandlery.core.calendars import Int64s, get_calendar
from chandlery.core.periods import Days, Ids, period_end, period_of
from chandlery.core.timeframe import Timeframe, derived_from
from chandlery.core.windows import instant

_DAY_S = 86_400
_SECOND_US = 1_000_000
#: A span's owner stands above its time, in seconds, of which those before 1970 must not be negative.
_BITS = 34
_OFFSET = 1 << 33
_TIME = (1 << _BITS) - 1


@dataclass(frozen=True, slots=True)
class InstrumentDays:
    """Days of instruments, as parallel arrays.

    Attributes:
        ids: instrument of each.
        days: UTC, or the session's own date.
    """

    ids: Ids
    days: Days

    def __len__(self) -> int:
        return len(self.days)

    def where(self, mask: npt.NDArray[np.bool_]) -> InstrumentDays:
        """Return those where ``mask`` holds."""
        return self if mask.all() else InstrumentDays(self.ids[mask], self.days[mask])

    def joined(self, other: InstrumentDays) -> InstrumentDays:
        """Return these and ``other``."""
        return InstrumentDays(np.concatenate([self.ids, other.ids]), np.concatenate([self.days, other.days]))

    @property
    def keys(self) -> Int64s:
        """One number for each."""
        return pair_keys(self.ids, self.days)


@dataclass(frozen=True, slots=True)
class Sessions:
    """Sessions of instruments, as parallel arrays.

    Attributes:
        of: the instrument and the date of each.
        opens: µs since the epoch, inclusive.
        closes: µs since the epoch, exclusive.
    """

    of: InstrumentDays
    opens: Int64s
    closes: Int64s

    def where(self, mask: npt.NDArray[np.bool_]) -> Sessions:
        """Return those where ``mask`` holds."""
        return self if mask.all() else Sessions(self.of.where(mask), self.opens[mask], self.closes[mask])


NO_SESSIONS = Sessions(
    InstrumentDays(np.empty(0, np.int64), np.empty(0, "datetime64[D]")), np.empty(0, np.int64), np.empty(0, np.int64)
)


def sessions_in(stale: InstrumentDays, calendars: Mapping[int, str]) -> Sessions:
    """Return the sessions that trade in any of ``stale``, each once.

    Args:
        stale: days, UTC.
        calendars: name by instrument id.
    """
    names = np.array([calendars[owner] for owner in stale.ids.tolist()], np.str_)
    parts: list[tuple[Int64s, ...]] = []
    for name in np.unique(names).tolist():
        calendar = get_calendar(name)
        of_one = stale.where(names == name)
        count, place = calendar.trading_on(of_one.days.astype(np.int64))
        parts.append(
            (np.repeat(of_one.ids, count), calendar.sessions[place], calendar.opens[place], calendar.closes[place])
        )
    owners, days, opens, closes = (np.concatenate(column) for column in zip(*parts, strict=True))
    of = InstrumentDays(owners, days.astype("datetime64[D]"))
    _, once = np.unique(of.keys, return_index=True)
    return Sessions(InstrumentDays(of.ids[once], of.days[once]), opens[once], closes[once])


def base_ranges(base: Timeframe, stale: InstrumentDays, sessions: Sessions) -> list[BarRange]:
    """Return the ranges of base bars that have to be read, disjoint and as long as can be.

    Args:
        base: ``1m`` or ``1d``.
        stale: days of base bars that changed.
        sessions: those whose day has to be derived; none for ``1d``.
    """
    owners, starts, ends = [], [], []
    for first, after in _periods(base, stale.days):
        owners.append(stale.ids)
        starts.append(first.astype(np.int64) * _DAY_S)
        ends.append(after.astype(np.int64) * _DAY_S)
    owners.append(sessions.of.ids)
    starts.append(sessions.opens // _SECOND_US)
    ends.append(-(-sessions.closes // _SECOND_US))
    return _merged(np.concatenate(owners), np.concatenate(starts), np.concatenate(ends))


def keep_stale(bars: pa.Table, timeframe: Timeframe, stale: InstrumentDays, symbols: Mapping[int, str]) -> pa.Table:
    """Return the derived bars of the periods in which a day is stale: of the others, not all base bars were read.

    Args:
        bars: schema ``BARS``.
        timeframe: of the bars.
        stale: days, UTC; of bars of ``1d``, their sessions' dates.
        symbols: by instrument id.
    """
    id_of = {symbol: instrument_id for instrument_id, symbol in symbols.items()}
    symbol = bars["symbol"].combine_chunks()
    owners = np.array([id_of[name] for name in symbol.dictionary.to_pylist()], np.int64)[symbol.indices.to_numpy()]
    period = period_of(timeframe, bars["ts"].to_numpy().astype("datetime64[D]"))
    keys = np.unique(pair_keys(stale.ids, period_of(timeframe, stale.days)))
    kept = np.isin(pair_keys(owners, period), keys)
    return bars if kept.all() else bars.filter(pa.array(kept))


def _periods(base: Timeframe, days: Days) -> list[tuple[Days, Days]]:
    """Return the first day of the periods that ``days`` are in, and the first after each."""
    if base is Timeframe.M1:
        return [(days, days + np.timedelta64(1, "D"))]
    periods = [(timeframe, period_of(timeframe, days)) for timeframe in derived_from(base)]
    return [(first, period_end(timeframe, first)) for timeframe, first in periods]


def _merged(owners: Ids, starts: Int64s, ends: Int64s) -> list[BarRange]:
    """Return the union of spans, in seconds since the epoch."""
    first, after = ((owners << _BITS) + times + _OFFSET for times in (starts, ends))
    order = np.argsort(first, kind="stable")
    first, reach = first[order], np.maximum.accumulate(after[order])
    begins = np.flatnonzero(np.r_[True, first[1:] > reach[:-1]])
    last = np.r_[begins[1:], len(first)] - 1
    return [
        BarRange(start >> _BITS, *(instant(((key & _TIME) - _OFFSET) * _SECOND_US) for key in (start, end)))
        for start, end in zip(first[begins].tolist(), reach[last].tolist(), strict=True)
    ]
