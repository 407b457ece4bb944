"""Rolling bars up: 1m into 5m .. 4h, 1d into 1w and 1mo.

A derived bar is computed from its base bars alone and always equals their recomputation: first open, highest high,
lowest low, last close; sums of volume, trades and price x volume, correctly rounded, so that neither order nor batching
shows.

Not here: when it happens (``pipelines``), and which periods are stale (``store.pending``).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import fsum

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.core.calendars import get_calendar
from chandlery.core.periods import period_end, period_of
from chandlery.core.schema import BARS, TS, conform
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import DAY_US
from chandlery.errors import UsageError

#: The source of a derived bar whose base bars have several.
MIXED = "mixed"
_EXACT = float(2**53)

_Floats = npt.NDArray[np.float64]
_Places = npt.NDArray[np.intp]


def roll_up(bars: pa.Table, timeframe: Timeframe, calendars: Mapping[str, str]) -> pa.Table:
    """Return the bars of ``timeframe`` that ``bars`` make up.

    Args:
        bars: bars of ``timeframe.base`` of any symbols, schema ``schema.BARS``, with prices; every ``(symbol, ts)``
            occurs once. A period of which some bars are missing yields a bar of those that are there.
        timeframe: a derived one.
        calendars: calendar by symbol; used for weeks and months, which are labelled by their first session.

    Returns:
        Table of schema ``schema.BARS``, sorted by symbol (in the order of first appearance) and ``ts``. ``volume`` and
        ``trades`` sum what is known, and are null where nothing is. ``vwap`` is null unless every bar with a volume has
        one. ``source`` is the base bars' or, if they differ, ``MIXED``.
    """
    if timeframe.is_ingested:
        raise UsageError(f"{timeframe.value} bars come from providers; derived are 5m 15m 30m 1h 4h 1w 1mo")
    if not bars.num_rows:
        return BARS.empty_table()
    bars = _sorted(conform(bars))
    symbol, ts = bars["symbol"].combine_chunks(), bars["ts"].to_numpy().astype("datetime64[us]").astype(np.int64)
    codes = symbol.indices.to_numpy()
    label = _labels(timeframe, codes, symbol.dictionary.to_pylist(), ts, calendars)
    starts = np.flatnonzero(np.r_[True, (codes[1:] != codes[:-1]) | (label[1:] != label[:-1])])
    ends = np.r_[starts[1:], len(ts)]
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
        "source": _sources(sources, starts),
    }
    return pa.table([columns[name] for name in BARS.names], schema=BARS)


def _sorted(bars: pa.Table) -> pa.Table:
    codes = bars["symbol"].combine_chunks().indices.to_numpy()
    ts = bars["ts"].to_numpy()
    later = (codes[1:] > codes[:-1]) | ((codes[1:] == codes[:-1]) & (ts[1:] > ts[:-1]))
    return bars if later.all() else conform(bars.take(pa.array(np.lexsort((ts, codes)))))


def _labels(
    timeframe: Timeframe,
    codes: npt.NDArray[np.int32],
    symbols: list[str],
    ts: npt.NDArray[np.int64],
    calendars: Mapping[str, str],
) -> npt.NDArray[np.int64]:
    """Return the ``ts`` of the derived bar that each base bar belongs to."""
    if timeframe.is_intraday:
        return ts - ts % timeframe.microseconds
    days = period_of(timeframe, ts.view("datetime64[us]").astype("datetime64[D]"))
    periods, ends = days.astype(np.int64), period_end(timeframe, days).astype(np.int64)
    label = np.empty_like(ts)
    for code in np.unique(codes):
        selected = codes == code
        # By the calendar rather than by the data, so that a late first bar does not move the label.
        sessions = get_calendar(calendars[symbols[code]]).sessions
        first = np.append(sessions, np.iinfo(np.int64).max)[np.searchsorted(sessions, periods[selected])]
        # A period without a session that is known (before or after the calendar's own range) has its first day's label.
        label[selected] = np.where(first < ends[selected], first, periods[selected]) * DAY_US
    return label


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


def _sources(sources: pa.DictionaryArray, starts: _Places) -> pa.DictionaryArray:
    codes = sources.indices.to_numpy()
    low, high = np.minimum.reduceat(codes, starts), np.maximum.reduceat(codes, starts)
    names = pa.array([*sources.dictionary.to_pylist(), MIXED])
    return pa.DictionaryArray.from_arrays(pa.array(np.where(low == high, low, len(names) - 1).astype(np.int32)), names)


def _masked(values: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> pa.Array:
    return pa.array(values, mask=~valid)
