"""How bars of several symbols are laid out: one below the other, side by side, or each apart.

Not here: the libraries whose tables they become (``formats``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from chandlery.core.arrow import number_array, numpy_of
from chandlery.core.schema import TS, with_symbols
from chandlery.reading.formats import convert, in_order_of

Layout: TypeAlias = Literal["long", "wide", "dict"]
LAYOUTS = ("long", "wide", "dict")


def lay_out(bars: pa.Table, names: Mapping[int, str], columns: Sequence[str], output: str, layout: str) -> Any:  # noqa: ANN401 - by both
    """Return ``bars`` in one of ``LAYOUTS``, as one of ``formats.OUTPUTS``.

    Args:
        bars: sorted by instrument and time, with ``instrument_id``, ``ts`` and ``columns``.
        names: the symbol of each instrument, in the order in which they are handed out.
        columns: which, in this order.
        output: see ``DataAPI.get_multi_symbol``.
        layout: see ``DataAPI.get_multi_symbol``.
    """
    if layout == "long":
        # The dictionary of names is in the order of registration, whatever the order of the rows.
        named = with_symbols(in_order_of(bars, list(names)), dict(sorted(names.items())))
        return convert(named.select(["symbol", "ts", *columns]), output, index=["symbol", "ts"])
    parts = _parts(bars, names)
    if layout == "dict":
        chosen = bars.select(["ts", *columns])
        return {
            symbol: convert(chosen.slice(part.start, part.stop - part.start), output, index="ts")
            for symbol, part in parts.items()
        }
    return _wide(bars, parts, columns, output)


def _parts(bars: pa.Table, names: Mapping[int, str]) -> dict[str, slice]:
    """Return where the bars of each symbol are."""
    owners = numpy_of(bars["instrument_id"])
    firsts, ends = (np.searchsorted(owners, list(names), side).tolist() for side in ("left", "right"))
    return {name: slice(*place) for name, *place in zip(names.values(), firsts, ends, strict=True)}


def _wide(bars: pa.Table, parts: Mapping[str, slice], columns: Sequence[str], output: str) -> Any:  # noqa: ANN401 - see ``lay_out``
    """Return a row for each time of any symbol, and a column for each of ``columns`` and symbol."""
    ts = numpy_of(bars["ts"])
    times = np.unique(ts)
    places = {}
    for symbol, part in parts.items():
        place = np.full(len(times), -1, np.int64)
        place[np.searchsorted(times, ts[part])] = np.arange(part.start, part.stop)
        places[symbol] = pa.array(place, mask=place < 0)
    found = {(name, symbol): bars[name].take(place) for name in columns for symbol, place in places.items()}
    arrays = [number_array(times).cast(TS), *found.values()]
    table = pa.Table.from_arrays(arrays, ["ts", *(f"{name}:{symbol}" for name, symbol in found)])
    frame = convert(table, output, index="ts")
    if output == "pandas":
        import pandas as pd  # noqa: PLC0415 - slow to import, and others need it not

        frame.columns = pd.MultiIndex.from_tuples(list(found), names=["column", "symbol"])
    return frame
