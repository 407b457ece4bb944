"""The order and the form in which bars are handed out. Not here: reading them (``bars``, ``tail``)."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from chandlery.core.arrow import number_array, numpy_of
from chandlery.core.optional import import_optional

_Answer = TypeVar("_Answer")
OUTPUTS = ("pandas", "arrow", "polars")
_MINUTE, _DAY = 60_000_000, 86_400_000_000  # µs


def in_order_of(bars: pa.Table, ids: Sequence[int]) -> pa.Table:
    """Return ``bars``, which are sorted by instrument, in the order of ``ids``."""
    if list(ids) == sorted(ids):
        return bars
    owners = numpy_of(bars["instrument_id"])
    firsts, ends = np.searchsorted(owners, ids, "left"), np.searchsorted(owners, ids, "right")
    return bars.take(number_array(np.concatenate([np.arange(*place) for place in zip(firsts, ends, strict=True)])))


def convert(table: pa.Table, output: str, *, index: str | list[str]) -> Any:  # noqa: ANN401 - by ``output``
    """Return ``table`` as one of ``OUTPUTS``; for pandas, with the columns of ``index`` as the index."""
    if output == "arrow":
        return table
    if output == "polars":
        return import_optional("polars", extra="polars", needed_by="output='polars'").from_arrow(table)
    import pandas as pd  # noqa: PLC0415 - slow to import, and other formats do not need it

    names = [index] if isinstance(index, str) else index
    if any(column.num_chunks > 1 for column in table.columns):
        table = table.unify_dictionaries().combine_chunks()  # copied once here, instead of more slowly by pandas
    # A block for each column takes Arrow's numbers as they are.
    frame = table.drop_columns(names).to_pandas(split_blocks=True)
    levels = [_index_of(table[name], pd) for name in names]
    frame.index = levels[0] if len(levels) == 1 else _together(levels, pd)
    frame.index.names = names
    return frame


def hand_out(answer: _Answer) -> _Answer:
    """Return ``answer`` for a user, who may write to it; what is kept of it stays as it is."""
    # Of what was kept: pandas copies a column once somebody writes to it; what Arrow and polars hold never changes.
    copy = getattr(answer, "copy", None) or getattr(answer, "clone", None)
    if isinstance(answer, dict):
        return type(answer)({key: hand_out(value) for key, value in answer.items()})
    return answer if copy is None else copy(deep=False) if hasattr(answer, "iloc") else copy()


def _together(levels: list[Any], pd: ModuleType) -> Any:  # noqa: ANN401 - an index of pandas
    """Return ``pandas.MultiIndex.from_arrays`` of symbols and times; that looks up each time in a table of its own."""
    symbols, times = levels
    if not len(times) or not isinstance(times, pd.DatetimeIndex):
        return pd.MultiIndex.from_arrays(levels)
    ts = times.asi8
    first, step = ts.min(), _DAY if not (ts % _DAY).any() else _MINUTE
    places, rest = np.divmod(ts - first, step)
    if rest.any() or places.max() > 4 * len(ts) + 10_000:
        return pd.MultiIndex.from_arrays(levels)
    there = np.zeros(places.max() + 1, np.bool_)
    there[places] = True
    distinct = pd.DatetimeIndex((np.flatnonzero(there) * step + first).view(f"datetime64[{times.unit}]"), tz="UTC")
    codes = (np.cumsum(there) - 1)[places]
    names = pd.MultiIndex.from_arrays([symbols[:1]]).levels[0]
    return pd.MultiIndex([names, distinct], [symbols.cat.codes, codes], verify_integrity=False)


def _index_of(column: pa.ChunkedArray, pd: ModuleType) -> Any:  # noqa: ANN401 - an index of pandas
    if pa.types.is_timestamp(column.type):
        return pd.DatetimeIndex(numpy_of(column)).tz_localize("UTC")
    return column.to_pandas()
