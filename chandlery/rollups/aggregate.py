"""Rolling bars up: 1m into 5m .. 4h and 1d, 1d into 1w and 1mo.

A derived bar is computed from its base bars alone and always equals their recomputation: first open, highest high,
lowest low, last close; sums of volume, trades and price x volume, correctly rounded, so that neither order nor batching
shows.

A bar of a day is made of the minutes in which its session trades: neither extended hours nor a break count.

Not here: when it happens (``pipelines``), which periods are stale (``stale``), and that a provider's own bar of a day
is kept (``bars.identity``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.core.calendars import Calendar, get_calendar
from chandlery.core.periods import period_end, period_of
from chandlery.core.schema import BARS, DERIVED, MIXED, TS, conform
from chandlery.core.sums import Summands
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import DAY_US
from chandlery.errors import UsageError

_Places = npt.NDArray[np.intp]


def roll_up(bars: pa.Table, timeframe: Timeframe, calendars: Mapping[str, str]) -> pa.Table:
    """Return the bars of ``timeframe`` that ``bars`` make up.

    Args:
        bars: bars of ``timeframe.base`` of any symbols, schema ``schema.BARS``, with prices; every ``(symbol, ts)``
            occurs once. A period of which some bars are missing yields a bar of those that are there.
        timeframe: a derived one, or ``1d``, of bars of ``1m``.
        calendars: calendar by symbol; used for days, and for weeks and months, which are labelled by their first
            session.

    Returns:
        Table of schema ``schema.BARS``, sorted by symbol (in the order of first appearance) and ``ts``. ``volume`` and
        ``trades`` sum what is known, and are null where nothing is. ``vwap`` is null unless every bar with a volume has
        one. ``source`` is the base bars' or, if they differ, ``MIXED``; of days, ``DERIVED``, the base's timeframe and
        that.
    """
    return BaseBars(bars).roll_up(timeframe, calendars)


class BaseBars:
    """Bars that several timeframes are rolled up from, prepared once for all of them; see ``roll_up``."""

    def __init__(self, bars: pa.Table) -> None:
        self._bars = _sorted(conform(bars)) if bars.num_rows else BARS.empty_table()

    def roll_up(self, timeframe: Timeframe, calendars: Mapping[str, str]) -> pa.Table:
        """Return what ``roll_up`` returns."""
        if timeframe is Timeframe.M1:
            raise UsageError("1m bars come from providers; derived are 5m 15m 30m 1h 4h 1d 1w 1mo")
        if not self._bars.num_rows:
            return BARS.empty_table()
        if timeframe is not Timeframe.D1:
            return self.by_label(_labels(timeframe, self._bars, calendars))
        bars, label = _of_sessions(self._bars, calendars)
        if not bars.num_rows:
            return bars
        of_sessions = self if bars is self._bars else BaseBars(bars)
        return of_sessions.by_label(label, source_prefix=f"{DERIVED}1m:")

    def by_label(self, label: npt.NDArray[np.int64], *, source_prefix: str = "") -> pa.Table:
        """Return a bar of each run of bars of one symbol with the same label, which becomes its ``ts``."""
        bars, symbol = self._bars, self._bars["symbol"].combine_chunks()
        codes = symbol.indices.to_numpy()
        starts = np.flatnonzero(np.r_[True, (codes[1:] != codes[:-1]) | (label[1:] != label[:-1])])
        ends = np.r_[starts[1:], len(label)]
        trades, counted = self._trades
        columns = {
            "symbol": pa.DictionaryArray.from_arrays(pa.array(codes[starts]), symbol.dictionary),
            "ts": pa.array(label[starts]).cast(TS),
            "open": bars["open"].to_numpy()[starts],
            "high": np.maximum.reduceat(bars["high"].to_numpy(), starts),
            "low": np.minimum.reduceat(bars["low"].to_numpy(), starts),
            "close": bars["close"].to_numpy()[ends - 1],
            "trades": _masked(
                np.add.reduceat(trades, starts).astype(np.int32), np.logical_or.reduceat(counted, starts)
            ),
            "source": _sources(bars["source"].combine_chunks(), starts, prefix=source_prefix),
        }
        columns |= self._turnover(starts, ends)
        return pa.table([columns[name] for name in BARS.names], schema=BARS)

    def _turnover(self, starts: _Places, ends: _Places) -> dict[str, pa.Array]:
        """Return ``volume`` and ``vwap`` of each group."""
        volume, traded = self._volume
        total = volume.sums(starts, ends)
        columns = {"volume": _masked(total, np.logical_or.reduceat(traded, starts))}
        if self._bars["vwap"].null_count == self._bars.num_rows:
            return columns | {"vwap": pa.nulls(len(starts), pa.float64())}
        turnover, complete = self._priced
        with np.errstate(invalid="ignore", divide="ignore"):
            value = turnover.sums(starts, ends) / total
        return columns | {"vwap": _masked(value, np.logical_and.reduceat(complete, starts) & (total > 0))}

    @cached_property
    def _volume(self) -> tuple[Summands, npt.NDArray[np.bool_]]:
        volume, traded = _known(self._bars["volume"])
        return Summands(volume.astype(np.float64, copy=False)), traded

    @cached_property
    def _trades(self) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.bool_]]:
        return _known(self._bars["trades"])

    @cached_property
    def _priced(self) -> tuple[Summands, npt.NDArray[np.bool_]]:
        """Price times volume, and whether that is known."""
        price, priced = _known(self._bars["vwap"])
        volume = self._volume[0].values
        return Summands(price.astype(np.float64, copy=False) * volume), priced | (volume == 0)


def _sorted(bars: pa.Table) -> pa.Table:
    codes = bars["symbol"].combine_chunks().indices.to_numpy()
    ts = bars["ts"].to_numpy()
    later = (codes[1:] > codes[:-1]) | ((codes[1:] == codes[:-1]) & (ts[1:] > ts[:-1]))
    return bars if later.all() else conform(bars.take(pa.array(np.lexsort((ts, codes)))))


def _times(bars: pa.Table) -> npt.NDArray[np.int64]:
    return np.asarray(bars["ts"].to_numpy().astype("datetime64[us]").astype(np.int64))


def _labels(timeframe: Timeframe, bars: pa.Table, calendars: Mapping[str, str]) -> npt.NDArray[np.int64]:
    """Return the ``ts`` of the derived bar that each base bar belongs to."""
    ts = _times(bars)
    if timeframe.is_intraday:
        return ts - ts % timeframe.microseconds
    days = period_of(timeframe, ts.view("datetime64[us]").astype("datetime64[D]"))
    periods, ends = days.astype(np.int64), period_end(timeframe, days).astype(np.int64)
    label = np.empty_like(ts)
    for calendar, of_one in _by_calendar(bars, calendars):
        # By the calendar rather than by the data, so that a late first bar does not move the label.
        first = np.append(calendar.sessions, np.iinfo(np.int64).max)[
            np.searchsorted(calendar.sessions, periods[of_one])
        ]
        # A period without a session that is known (before or after the calendar's own range) has its first day's label.
        label[of_one] = np.where(first < ends[of_one], first, periods[of_one]) * DAY_US
    return label


def _of_sessions(bars: pa.Table, calendars: Mapping[str, str]) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """Return the minutes in which a session traded, and the ``ts`` of the bar of that day."""
    ts = _times(bars)
    label, trading = np.empty_like(ts), np.empty(len(ts), np.bool_)
    for calendar, of_one in _by_calendar(bars, calendars):
        session, _ = calendar.session_of(ts[of_one])
        label[of_one] = calendar.sessions[session] * DAY_US
        trading[of_one] = calendar.is_open(ts[of_one], session)
    return (bars, label) if trading.all() else (conform(bars.filter(pa.array(trading))), label[trading])


def _by_calendar(
    bars: pa.Table, calendars: Mapping[str, str]
) -> Iterator[tuple[Calendar, npt.NDArray[np.bool_] | slice]]:
    """Yield each calendar and which of the bars are of its instruments."""
    symbol = bars["symbol"].combine_chunks()
    codes = symbol.indices.to_numpy()
    used = np.unique(codes)
    symbols = symbol.dictionary.to_pylist()
    names = np.array([calendars[symbols[code]] for code in used.tolist()])
    for name in np.unique(names).tolist():
        same = names == name
        yield get_calendar(name), slice(None) if same.all() else np.isin(codes, used[same])


def _known(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.bool_]]:
    array = column.combine_chunks()
    return array.fill_null(0).to_numpy(zero_copy_only=False), array.is_valid().to_numpy(zero_copy_only=False)


def _sources(sources: pa.DictionaryArray, starts: _Places, *, prefix: str) -> pa.DictionaryArray:
    codes = sources.indices.to_numpy()
    low, high = np.minimum.reduceat(codes, starts), np.maximum.reduceat(codes, starts)
    names = pa.array([f"{prefix}{name}" for name in (*sources.dictionary.to_pylist(), MIXED)])
    return pa.DictionaryArray.from_arrays(pa.array(np.where(low == high, low, len(names) - 1).astype(np.int32)), names)


def _masked(values: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> pa.Array:
    return pa.array(values, mask=~valid)
