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
from math import fsum

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.core.calendars import Calendar, get_calendar
from chandlery.core.periods import period_end, period_of
from chandlery.core.schema import BARS, DERIVED, MIXED, TS, conform
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import DAY_US
from chandlery.errors import UsageError

_EXACT = float(2**53)

_Floats = npt.NDArray[np.float64]
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
    if timeframe is Timeframe.M1:
        raise UsageError("1m bars come from providers; derived are 5m 15m 30m 1h 4h 1d 1w 1mo")
    if not bars.num_rows:
        return BARS.empty_table()
    bars = _sorted(conform(bars))
    if timeframe is Timeframe.D1:
        bars, label = _of_sessions(bars, calendars)
        if not bars.num_rows:
            return bars
    else:
        label = _labels(timeframe, bars, calendars)
    symbol = bars["symbol"].combine_chunks()
    codes = symbol.indices.to_numpy()
    starts = np.flatnonzero(np.r_[True, (codes[1:] != codes[:-1]) | (label[1:] != label[:-1])])
    ends = np.r_[starts[1:], len(label)]
    volume, traded = _known(bars["volume"])
    trades, counted = _known(bars["trades"])
    sources = bars["source"].combine_chunks()
    columns = {
        "symbol": pa.DictionaryArray.from_arrays(pa.array(codes[starts]), symbol.dictionary),
        "ts": pa.array(label[starts]).cast(TS),
        "open": bars["open"].to_numpy()[starts],
        "high": np.maximum.reduceat(bars["high"].to_numpy(), starts),
        "low": np.minimum.reduceat(bars["low"].to_numpy(), starts),
        "close": bars["close"].to_numpy()[ends - 1],
        "volume": _masked(_sums(volume, starts, ends), np.logical_or.reduceat(traded, starts)),
        "vwap": _vwap(bars, volume, starts, ends),
        "trades": _masked(np.add.reduceat(trades, starts).astype(np.int32), np.logical_or.reduceat(counted, starts)),
        "source": _sources(sources, starts, prefix=f"{DERIVED}1m:" if timeframe is Timeframe.D1 else ""),
    }
    return pa.table([columns[name] for name in BARS.names], schema=BARS)


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


def _sums(values: npt.NDArray[np.generic], starts: _Places, ends: _Places) -> _Floats:
    """Return the correctly rounded sum of each group, which is the same in any order."""
    floats = values.astype(np.float64, copy=False)
    if float(np.abs(floats).sum()) < _EXACT and bool((floats == np.rint(floats)).all()):
        return np.asarray(np.add.reduceat(floats, starts))  # whole numbers add up exactly as they are
    # In extended precision, where the machine has it, nearly every sum is known well enough to be rounded: the error of
    # adding n numbers is below n x eps x the sum of their absolutes (Higham, Accuracy and Stability, section 4.2).
    wide = floats.astype(np.longdouble)
    total = np.add.reduceat(wide, starts)
    with np.errstate(invalid="ignore"):
        error = np.add.reduceat(np.abs(wide), starts) * (ends - starts) * np.finfo(np.longdouble).eps
        low, high = ((total + side).astype(np.float64) for side in (-error, error))
    sums: _Floats = low + 0.0
    for place in np.flatnonzero(~(low == high)).tolist():
        sums[place] = fsum(floats[starts[place] : ends[place]].tolist())
    return sums


def _vwap(bars: pa.Table, volume: npt.NDArray[np.generic], starts: _Places, ends: _Places) -> pa.Array:
    if bars["vwap"].null_count == bars.num_rows:
        return pa.nulls(len(starts), pa.float64())
    price, priced = _known(bars["vwap"])
    weight = volume.astype(np.float64)
    total = _sums(weight, starts, ends)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = _sums(price.astype(np.float64) * weight, starts, ends) / total
    complete = np.logical_and.reduceat(priced | (weight == 0), starts)
    return _masked(value, complete & (total > 0))


def _sources(sources: pa.DictionaryArray, starts: _Places, *, prefix: str) -> pa.DictionaryArray:
    codes = sources.indices.to_numpy()
    low, high = np.minimum.reduceat(codes, starts), np.maximum.reduceat(codes, starts)
    names = pa.array([f"{prefix}{name}" for name in (*sources.dictionary.to_pylist(), MIXED)])
    return pa.DictionaryArray.from_arrays(pa.array(np.where(low == high, low, len(names) - 1).astype(np.int32)), names)


def _masked(values: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> pa.Array:
    return pa.array(values, mask=~valid)
