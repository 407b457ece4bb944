"""What is measured of each row: one column per question, to which the rules in ``rules`` apply.

Each column is int64 or float64 and complete: where a value is absent (a null volume, a missing price) it holds
a value that every rule accepts. Columns that a clean batch has no use for share one array of zeros.
Not here: the limits (``rules``) and what is measured of a partition (``measures``).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.core.calendars import Int64s, get_calendar, microseconds
from chandlery.core.schema import PRICES
from chandlery.core.symbols import ANY_PRICE
from expectations.layout import Floats, Layout, floats, nulls
from expectations.sessions import listed_span

#: Prices that differ by so many units in the last place of a double are equal: they were the same before somebody
#: reckoned with them.
_ROUNDING = 4


def row_evidence(layout: Layout, now: datetime) -> dict[str, npt.NDArray[Any]]:
    """Return the evidence for ``rules.ROW_RULES``: one value for each row of ``layout.table``."""
    nothing = np.zeros(len(layout.ts), dtype=np.int64)
    unlisted = _outside(layout, [listed_span(p) for p in layout.partitions], nothing)
    ranges = [(microseconds(p.start), microseconds(p.end)) for p in layout.partitions]
    # What came from before the listing was not requested either; one reason is enough.
    outside = _outside(layout, ranges, nothing)
    return {
        **_prices(layout, nothing),
        "volume": _amount(layout.table.column("volume")),
        "vwap": _vwap(layout),
        "trades": _whole(layout.table.column("trades"), nothing),
        "us_off_grid": _off_grid(layout, nothing),
        "us_outside_window": np.where(unlisted, 0, outside) if unlisted.any() else outside,
        "key_clash": _key_clash(layout, nothing),
        "us_after_now": layout.ts - microseconds(now),
        "off_session": _off_session(layout, nothing),
        "us_unlisted": unlisted,
    }


def _prices(layout: Layout, nothing: Int64s) -> dict[str, npt.NDArray[Any]]:
    columns = [layout.table.column(name) for name in PRICES]
    open_, high, low, close = values = [floats(column) for column in columns]
    missing = nothing
    if any(column.null_count for column in columns):
        missing = np.sum([nulls(column) for column in columns], axis=0, dtype=np.int64)
    unbounded = nothing
    finite = [np.isfinite(value) for value in values]
    if not all(each.all() for each in finite):
        unbounded = len(PRICES) - np.sum(finite, axis=0, dtype=np.int64) - missing
    body_low, body_high = np.fmin(open_, close), np.fmax(open_, close)
    lowest = np.fmin(np.fmin(high, low), body_low)
    _accept_any_price(layout, lowest, 1.0)
    low_above, above_high = _beyond(low, body_low), _beyond(body_high, high)
    if missing is not nothing or unbounded is not nothing:
        for measured, acceptable in ((lowest, 1.0), (low_above, 0.0), (above_high, 0.0)):
            measured[np.isnan(measured)] = acceptable
    return {
        "null_prices": missing,
        "unbounded_prices": unbounded,
        "lowest_price": lowest,
        "low_above_body": low_above,
        "body_above_high": above_high,
    }


def _beyond(one: Floats, other: Floats) -> Floats:
    """Return how far ``one`` is above ``other``: 0 where no more than rounding tells them apart."""
    with np.errstate(invalid="ignore", over="ignore"):  # inf - inf is NaN: equal, so there is nothing to compare
        difference = one - other
        above = np.flatnonzero(difference > 0)
        largest = np.maximum(np.abs(one[above]), np.abs(other[above]))
        difference[above[difference[above] <= _ROUNDING * np.spacing(largest)]] = 0.0
    return difference


def _accept_any_price(layout: Layout, measured: Floats, acceptable: float) -> None:
    """Put ``acceptable`` in the place of what was measured where the asset class knows prices of 0 and below."""
    for partition, first, stop in zip(layout.partitions, layout.first, layout.stop, strict=True):
        if partition.asset_class in ANY_PRICE:
            measured[first:stop] = acceptable


def _vwap(layout: Layout) -> Floats:
    """Return vwap, null as 0; where the asset class knows prices below 0, how far it is from 0."""
    values = _amount(layout.table.column("vwap"))
    if any(partition.asset_class in ANY_PRICE for partition in layout.partitions):
        values = values.copy()
        for partition, first, stop in zip(layout.partitions, layout.first, layout.stop, strict=True):
            if partition.asset_class in ANY_PRICE:
                values[first:stop] = np.abs(values[first:stop])
    return values


def _amount(column: pa.ChunkedArray) -> Floats:
    """Return a column with null as 0, which is acceptable, and NaN as infinity, which is not."""
    values = floats(column.fill_null(0.0) if column.null_count else column)
    odd = np.isnan(values)
    return np.where(odd, np.inf, values) if odd.any() else values


def _whole(column: pa.ChunkedArray, nothing: Int64s) -> Int64s:
    if column.null_count == len(column):
        return nothing
    values: Int64s = column.fill_null(0).combine_chunks().to_numpy().astype(np.int64)
    return values


def _off_grid(layout: Layout, nothing: Int64s) -> Int64s:
    return layout.ts % layout.partitions[0].timeframe.microseconds if layout.partitions else nothing


def _outside(layout: Layout, spans: list[tuple[int, int]], nothing: Int64s) -> Int64s:
    """Return how far, in µs, each row lies outside its partition's half-open span; the first instant after it is 1."""
    distance = nothing
    for (start, end), first, stop in zip(spans, layout.first, layout.stop, strict=True):
        ts = layout.ts[first:stop]
        if len(ts) and (ts[0] < start or ts[-1] >= end):
            distance = distance.copy() if distance is nothing else distance
            distance[first:stop] = np.where(ts < start, start - ts, np.where(ts >= end, ts - end + 1, 0))
    return distance


def _off_session(layout: Layout, nothing: Int64s) -> Int64s:
    """Mark bars of a day that are not labelled with a session; intraday bars outside trading hours are legitimate."""
    off = nothing
    for partition, first, stop in zip(layout.partitions, layout.first, layout.stop, strict=True):
        if partition.timeframe.is_intraday:
            break  # all partitions are of one timeframe
        is_session = get_calendar(partition.calendar).is_session(layout.ts[first:stop])
        if not is_session.all():
            off = off.copy() if off is nothing else off
            off[first:stop] = ~is_session
    return off


def _key_clash(layout: Layout, nothing: Int64s) -> Int64s:
    """Mark all rows whose (symbol, ts) occurs again, with other values."""
    repeats = (layout.ts[1:] == layout.ts[:-1]) & (layout.symbol[1:] == layout.symbol[:-1])
    if not repeats.any():
        return nothing
    clash: Int64s = (np.append(False, repeats) | np.append(repeats, False)).astype(np.int64)
    return clash
