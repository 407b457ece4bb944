"""Numbers as short texts, for a page that reads them without a network: differences, planes of bytes, deflate, base64.

The page's ``unpack.js`` is the other half. Bars of a grid of prices take five bytes each or so. Not here: what the
numbers mean (``candle_page``).
"""

from __future__ import annotations

import base64
import zlib
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Int64s: TypeAlias = npt.NDArray[np.int64]
Packed: TypeAlias = dict[str, Any]

_MOST_DECIMALS = 8
#: Differences have to fit into 31 bits; half of that leaves room for them.
_LARGEST = 2**29
#: So many significant digits of an indicator are kept.
_DIGITS = 6


def pack_integers(values: Int64s) -> Packed:
    """Return whole numbers; where neighbours are near each other, they take little. Nulls there are none."""
    steps = np.diff(values, prepend=np.int64(0))
    if len(values) and int(np.abs(steps[1:]).max(initial=0)) >= _LARGEST:
        return {"as": "doubles", "text": _text(values.astype(np.float64))}
    first = int(values[0]) if len(values) else 0
    steps[:1] = 0
    return {"as": "steps", "first": first, "text": _text(_zigzag(steps))}


def pack_decimals(values: Floats, *, near: bool = True) -> Packed:
    """Return numbers without losing any digit.

    Args:
        values: NaN where there is none.
        near: whether neighbours are near each other.
    """
    found = None if np.isnan(values).any() else as_decimals(values)
    if found is None:
        return {"as": "doubles", "text": _text(values)}
    decimals, whole = found
    packed = pack_integers(whole) if near else {"as": "plain", "text": _text(_zigzag(whole))}
    return packed | {"decimals": decimals}


def pack_rounded(values: Floats) -> Packed:
    """Return numbers of which six digits matter, NaN where there is none."""
    known = np.isfinite(values)
    size = float(np.abs(values[known]).max(initial=0.0))
    decimals = int(np.clip(_DIGITS - np.ceil(np.log10(size)) if size > 0 else _DIGITS, -300, _MOST_DECIMALS))
    if decimals < 0:
        return {"as": "doubles", "text": _text(np.where(known, values, np.nan))}
    # A value that is missing repeats the one before, which costs nothing, and is named apart.
    places = np.maximum.accumulate(np.where(known, np.arange(len(values)), 0)) if len(values) else np.empty(0, np.intp)
    whole = np.rint(np.where(known, values, 0.0)[places] * 10.0**decimals).astype(np.int64)
    edges = np.flatnonzero(np.diff(known, prepend=True, append=True))
    return pack_integers(whole) | {"decimals": decimals, "missing": edges.tolist()}


def as_decimals(*columns: Floats) -> tuple[int, Int64s] | None:
    """Return how many decimals the numbers have, and the whole numbers that they are of these; None of others.

    The numbers of several columns follow each other.
    """
    values = np.concatenate(columns)
    for decimals in range(_MOST_DECIMALS + 1):
        scale = 10.0**decimals
        with np.errstate(invalid="ignore", over="ignore"):
            whole = np.rint(values * scale)
            if not (np.abs(whole) < _LARGEST).all():
                return None
            if (whole / scale == values).all():
                return decimals, whole.astype(np.int64)
    return None


def pack_prices(opens: Floats, high: Floats, low: Floats, close: Floats) -> Packed:
    """Return the prices of bars: each open as it differs from the close before, all else as it differs from the open.

    Prices of more digits than fit are returned as they are.
    """
    found = as_decimals(opens, high, low, close)
    if found is None:
        parts = {"open": opens, "high": high, "low": low, "close": close}
        return {"as": "columns", **{name: {"as": "doubles", "text": _text(part)} for name, part in parts.items()}}
    decimals, whole = found
    first, top, bottom, last = whole.reshape(4, -1)
    before = np.concatenate([[0], last[:-1]])
    columns = {
        "open": first - before,
        "high": top - np.maximum(first, last),
        "low": np.minimum(first, last) - bottom,
        "close": last - first,
    }
    return {
        "as": "bars",
        "decimals": decimals,
        **{name: _text(_zigzag(column)) for name, column in columns.items()},
    }


def pack_bytes(values: npt.NDArray[np.uint8]) -> str:
    """Return small whole numbers, 0 to 255."""
    return base64.b64encode(zlib.compress(values.tobytes(), 9)).decode()


def _zigzag(values: Int64s) -> npt.NDArray[np.uint32]:
    """Return 0, -1, 1, -2 ... as 0, 1, 2, 3 ..., whose upper bytes are zeros."""
    return ((values << 1) ^ (values >> 63)).astype(np.uint32)


def _text(values: npt.NDArray[Any]) -> str:
    """Return numbers as planes of bytes: first the lowest of each, then the next one of each."""
    width = values.dtype.itemsize
    ordered = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<")))
    planes = ordered.view(np.uint8).reshape(-1, width).T
    return pack_bytes(np.ascontiguousarray(planes))
