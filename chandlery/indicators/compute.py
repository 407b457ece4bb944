"""Computes indicators over bars, on stretches without holes.

A hole is a row whose value is missing (null, NaN or infinite) in a column that the indicator takes, or a row that must
not be used. The row has no value, and the next one begins a new stretch as if nothing had been before, so that one bad
value never spoils what follows. A row that is not there is no hole: nobody traded, so there is no bar.
Not here: where bars come from, and how many before a range have to be read (``reading.warmup``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from chandlery.core.arrow import number_array, numpy_of
from chandlery.errors import ChandleryError, ConfigurationError, UsageError
from chandlery.indicators.declaration import INPUTS, CountedFrom
from chandlery.indicators.registry import Chosen, choose
from chandlery.indicators.windows import Floats

Bools: TypeAlias = npt.NDArray[np.bool_]
Int64s: TypeAlias = npt.NDArray[np.int64]
_DAY_US = 86_400_000_000
_NAN = number_array(np.array([np.nan]))[0]


def compute(
    table: pa.Table,
    indicators: Iterable[str] | Sequence[Chosen],
    *,
    breaks: npt.ArrayLike | None = None,
    sessions: npt.ArrayLike | None = None,
) -> pa.Table:
    """Return indicators of the bars of one instrument.

    Args:
        table: bars, sorted by ``ts``, with those of ``open high low close volume`` that the indicators take.
        indicators: names such as ``SMA_20``, or what ``registry.choose`` returns.
        breaks: for each row, whether it must not be used: it gets null, and a new stretch begins after it.
        sessions: for each row, a number of its session, from which ``VWAP``, and intraday ``OBV`` and its like, are
            counted. By default the day in UTC; where each bar begins at midnight, they are of a day or wider.

    Returns:
        A row for each of ``table`` and a column of float64 for each of the indicators' columns, in their order; null
        where there is no value.

    Raises:
        UsageError: an argument is wrong, a column is missing, rows are not sorted, or a function of a user failed.
        ConfigurationError: an indicator needs TA-Lib, which is not installed.
    """
    return _compute(table, indicators, np.zeros(0, np.int64), breaks, sessions)


def compute_many(
    table: pa.Table,
    indicators: Iterable[str] | Sequence[Chosen],
    *,
    by: str = "instrument_id",
    breaks: npt.ArrayLike | None = None,
    sessions: npt.ArrayLike | None = None,
) -> pa.Table:
    """Return indicators of the bars of several instruments, each for itself.

    Arguments and errors are those of ``compute``, but for ``by``, the column that tells instruments apart (``symbol``,
    for what ``DataAPI.get_multi_symbol`` returns as Arrow), and for ``table``: the bars of each instrument stand
    together, sorted by ``ts``.
    """
    _need(table, [by])
    kind = table[by].type
    owners = table[by] if pa.types.is_dictionary(kind) else table[by].dictionary_encode()
    numbers = numpy_of(pc.cast(owners.unify_dictionaries().combine_chunks().indices, pa.int64()))
    return _compute(table, indicators, np.flatnonzero(np.diff(numbers)) + 1, breaks, sessions)


def _compute(
    table: pa.Table,
    indicators: Iterable[str] | Sequence[Chosen],
    begins: Int64s,
    breaks: npt.ArrayLike | None,
    sessions: npt.ArrayLike | None,
) -> pa.Table:
    """Compute; ``begins`` are the rows, but the first, at which another instrument begins."""
    chosen = _choose(indicators)
    used = {name for each in chosen for name in each.indicator.inputs}
    _need(table, ["ts", *(name for name in INPUTS if name in used)])
    ts = numpy_of(table["ts"].cast(pa.timestamp("us", table["ts"].type.tz))).astype(np.int64)
    _check_sorted(ts, begins)
    values = {name: _floats(table[name]) for name in used}
    good = np.ones(len(ts), np.bool_) if breaks is None else ~_rows(breaks, len(ts), name="breaks").astype(np.bool_)
    finite = {name: np.isfinite(each) for name, each in values.items()}
    is_daily = sessions is None and bool((ts % _DAY_US == 0).all())
    columns: dict[str, pa.Array] = {}
    known: dict[tuple[tuple[str, ...], CountedFrom], list[tuple[int, int]]] = {}
    with np.errstate(all="ignore"):  # what a division by zero makes has no value, and becomes null
        for each in chosen:
            one = _of_one_bar(each) if is_daily else each
            key = one.indicator.inputs, one.indicator.counted_from
            if key not in known:
                edges = begins if key[1] == "warm-up" else _edges(begins, ts, sessions, key[1], is_daily=is_daily)
                known[key] = _stretches(np.logical_and.reduce([good, *(finite[name] for name in key[0])]), edges)
            made = _over_stretches(one, [values[name] for name in key[0]], known[key])
            columns |= zip(each.columns, map(_nullable, made), strict=True)
    return pa.table(columns) if columns else table.select([])


def _of_one_bar(chosen: Chosen) -> Chosen:
    """Return what takes its place where each bar is a session of its own."""
    function = chosen.indicator.of_one_bar
    if function is None:
        return chosen
    return replace(chosen, indicator=replace(chosen.indicator, compute=function, counted_from="warm-up"))


def _edges(
    begins: Int64s, ts: Int64s, sessions: npt.ArrayLike | None, counted_from: CountedFrom, *, is_daily: bool
) -> Int64s:
    """Return the rows, but the first, at which counting begins anew."""
    if is_daily:
        return begins if counted_from == "beginning" else np.arange(1, len(ts))
    numbers = ts // _DAY_US if sessions is None else _rows(sessions, len(ts), name="sessions")
    return np.union1d(begins, np.flatnonzero(numbers[1:] != numbers[:-1]) + 1)


def _over_stretches(chosen: Chosen, inputs: Sequence[Floats], stretches: Sequence[tuple[int, int]]) -> list[Floats]:
    """Return the columns of an indicator, with NaN outside of ``stretches``."""
    count, length = len(chosen.indicator.suffixes), len(inputs[0])
    if stretches == [(0, length)]:
        return _call(chosen, inputs, count)
    results = [np.full(length, np.nan) for _ in range(count)]
    for first, after in stretches:
        made = _call(chosen, [each[first:after] for each in inputs], count)
        for result, part in zip(results, made, strict=True):
            result[first:after] = part
    return results


def _call(chosen: Chosen, inputs: Sequence[Floats], columns: int) -> list[Floats]:
    """Return what the function of an indicator makes of one stretch, an array for each of its ``columns``."""
    function, length = chosen.indicator.compute, len(inputs[0])
    try:
        made = function(*inputs, *chosen.values)
        several = made if isinstance(made, tuple) else (made,)
        # Whoever wrote a function of their own may keep what it returns, and change it.
        arrays = [np.array(each, np.float64, copy=None if chosen.indicator.is_builtin else True) for each in several]
    except ConfigurationError as error:  # of TA-Lib, which is not installed
        raise ConfigurationError(f"{chosen.name}: {error}") from None
    except ChandleryError:
        raise
    except Exception as error:
        raise UsageError(f"indicator {chosen.name} failed: {type(error).__name__}: {error}") from error
    shapes = [each.shape for each in arrays]
    if shapes != [(length,)] * columns:
        raise UsageError(
            f"indicator {chosen.name} returned {' '.join(map(str, shapes)) or 'nothing'} for {length} bars;"
            f" it has to return {columns} of the shape ({length},)"
        )
    return arrays


def _stretches(usable: Bools, begins: Int64s) -> list[tuple[int, int]]:
    """Return the half-open runs of rows that are ``usable``, divided where something else ``begins``."""
    if not len(usable):
        return []
    if usable.all():
        return list(pairwise([0, *begins.tolist(), len(usable)]))
    changes = np.flatnonzero(np.diff(usable, prepend=False, append=False))
    inside = begins[usable[begins] & usable[begins - 1]]
    edges = (np.sort(np.concatenate((each, inside))).tolist() for each in (changes[::2], changes[1::2]))
    return list(zip(*edges, strict=True))


def _choose(indicators: Iterable[str] | Sequence[Chosen]) -> list[Chosen]:
    if isinstance(indicators, list | tuple) and indicators and all(isinstance(each, Chosen) for each in indicators):
        return list(indicators)
    return choose(cast("Iterable[str]", indicators))


def _need(table: pa.Table, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise UsageError(f"table has no {' '.join(missing)}, which these indicators take; it has {table.column_names}")


def _check_sorted(ts: Int64s, begins: Int64s) -> None:
    rises = np.diff(ts) > 0
    rises[begins - 1] = True
    if not rises.all():
        raise UsageError(
            f"table is not sorted by ts, each once: row {int(np.argmin(rises)) + 1} does not come after the one before"
        )


def _rows(values: npt.ArrayLike, length: int, *, name: str) -> npt.NDArray[np.generic]:
    """Return ``values``, which must be one for each row."""
    array = np.asarray(values)
    if array.shape != (length,):
        raise UsageError(f"{name} has the shape {array.shape}; give one value for each of the {length} rows")
    return array


def _floats(column: pa.ChunkedArray) -> Floats:
    """Return numbers as float64, with NaN for null, that no function can change."""
    numbers = column.cast(pa.float64())
    values = np.ascontiguousarray(numpy_of(pc.fill_null(numbers, _NAN) if numbers.null_count else numbers))
    values.setflags(write=False)
    return values


def _nullable(values: Floats) -> pa.Array:
    """Return ``values`` as an array with null where they are not finite."""
    known = np.isfinite(values)
    if known.all():
        return number_array(values)
    buffers = [pa.py_buffer(np.packbits(known, bitorder="little")), pa.py_buffer(np.where(known, values, 0.0))]
    return pa.Array.from_buffers(pa.float64(), len(values), buffers)
