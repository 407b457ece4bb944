"""The columns of a file become bars: canonical names, types and order. Not here: reading the columns (``reader``)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chandlery.core.calendars import Int64s
from chandlery.core.schema import BARS, PRICES, VALUES
from chandlery.providers.files.layout import Layout
from chandlery.providers.files.numbers import read_numbers
from chandlery.providers.files.unreadable import UnreadableError, refuse

#: Fixed-point files write the largest or smallest 64-bit number where there is no price.
_NO_PRICE = 9.2e18
#: So much is a hundredth in units of a billionth; no price that is written in full is whole and as large.
_WHOLE = 1e7


def to_bars(
    ts: pa.ChunkedArray,
    cells: Mapping[str, pa.ChunkedArray],
    layout: Layout,
    decimal: str,
    *,
    fixed_point: bool | None,
) -> pa.Table:
    """Return ``ts`` and ``schema.VALUES`` in their canonical types, NaN as null, in the file's order.

    Args:
        ts: of the bars.
        cells: by canonical name; what is missing becomes null.
        layout: how prices are scaled.
        decimal: the decimal separator of text.
        fixed_point: whether prices are in the unit of ``layout.fixed_point``; None where their size must tell.

    Raises:
        UnreadableError: a cell is no number; names its row.
    """
    columns = {"ts": ts}
    scale = layout.price_scale
    if layout.fixed_point and fixed_point is not False and _is_whole(cells, decimal, large=fixed_point is None):
        scale = layout.fixed_point
    for name in VALUES:
        kind = BARS.field(name).type
        if name not in cells:
            columns[name] = pa.chunked_array([pa.nulls(len(ts), kind)])
            continue
        if pa.types.is_boolean(cells[name].type):
            raise UnreadableError(f"{name} is a column of true and false, not of numbers")
        values = read_numbers(name, cells[name], decimal)
        if pc.any(pc.is_nan(values)).as_py():
            values = pc.if_else(pc.is_nan(values), None, values)
        if name in (*PRICES, "vwap"):
            values = _scaled(values, scale)
        if name == "trades":
            uncountable = pc.or_(pc.not_equal(pc.floor(values), values), pc.greater(pc.abs(values), 2**31 - 1))
            refuse(uncountable, lambda seen: f"trades {seen} is not a 32-bit whole number", values)
        columns[name] = values.cast(kind)
    return pa.table(columns)


def _is_whole(cells: Mapping[str, pa.ChunkedArray], decimal: str, *, large: bool) -> bool:
    """Whether all prices are whole and, where asked, too large to be anything but multiples of a tiny unit."""
    for name in PRICES:
        prices = pc.drop_null(read_numbers(name, cells[name], decimal))
        if not len(prices) or not pc.all(pc.equal(pc.floor(prices), prices)).as_py():
            return False
        if large and pc.max(pc.abs(prices)).as_py() < _WHOLE:
            return False
    return True


def _scaled(prices: pa.ChunkedArray, scale: float) -> pa.ChunkedArray:
    if scale == 1:
        return prices
    unset = pc.greater_equal(pc.abs(prices), _NO_PRICE)
    # Divided where the scale is one over a whole number, which is exact, as the scale itself is not.
    inverse = round(1 / scale)
    exact = inverse > 1 and 1 / inverse == scale
    return pc.if_else(unset, None, pc.divide(prices, float(inverse)) if exact else pc.multiply(prices, scale))


def priced(bars: pa.Table) -> pa.Table:
    """Return the bars that have any price."""
    blank = pc.is_null(bars["open"])
    for name in PRICES[1:]:
        blank = pc.and_(blank, pc.is_null(bars[name]))
    return bars.filter(pc.invert(blank))


def oldest_first(bars: pa.Table) -> pa.Table:
    """Return bars in a stable order of time."""
    bars = bars.combine_chunks()
    stamps = stamps_of(bars)
    return bars if (stamps[1:] >= stamps[:-1]).all() else bars.take(np.argsort(stamps, kind="stable"))


def stamps_of(bars: pa.Table) -> Int64s:
    """Return ``ts`` in µs since the epoch."""
    return np.asarray(bars["ts"].cast(pa.int64()).to_numpy(), dtype=np.int64)
