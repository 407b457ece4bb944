"""Computes indicators over bars, on stretches without holes.

A hole is a row whose value is missing (null, NaN or infinite) in a column that the indicator takes, or a row that must
not be used. The row has no value, and the next one begins a new stretch as if nothing had been before, so that one bad
value never spoils what follows. A row that is not there is no hole: nobody traded, so there is no bar.
Not here: where bars come from, and how many before a range have to be read (``reading.warmup``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from chandlery.core.arrow import number_array, numpy_of
from chandlery.errors import ChandleryError, ConfigurationError, UsageError
from chandlery.indicators.declaration import INPUTS
from chandlery.indicators.registry import Chosen, choose
from chandlery.indicators.windows import Floats

Bools = npt.NDArray[np.bool_]
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
    begins: npt.NDArray[np.int64],
    breaks: npt.ArrayLike | None,
    sessions: npt.ArrayLike | None,
) -> pa.Table:
    """Compute; ``begins`` are the rows, but the first, at which another instrument begins."""
    chosen = _choose(indicators)
    used = {name for each in chosen for name in each.indicator.inputs}
    _need(table, ["ts", *(name for name in INPUTS if name in used)])
    ts = numpy_of(table["ts"].cast(pa.timestamp("us", table["ts"].type.tz))).astype(np.int64)
    _check_sorted(ts, begins)
    is_break = None if breaks is None else _rows(breaks, len(ts), name="breaks").astype(np.bool_)
    values = {name: _floats(table[name]) for name in used}
    is_daily = sessions is None and bool((ts % _DAY_US == 0).all())
    finite = {name: np.isfinite(each) for name, each in values.items()}
    columns: dict[str, pa.Array] = {}
    for each in chosen:
        usable = np.logical_and.reduce([finite[name] for name in each.indicator.inputs])
        if is_break is not None:
            usable &= ~is_break
        one, edges = each, begins
        if each.indicator.counted_from != "warm-up" and not is_daily:
            edges = np.union1d(begins, _session_begins(ts, sessions))
        elif each.indicator.counted_from == "session" and each.indicator.of_one_bar is not None:
            one = replace(each, indicator=replace(each.indicator, compute=each.indicator.of_one_bar))
        elif each.indicator.counted_from == "session":
            edges = np.arange(1, len(ts))
        made = _over_stretches(one, [values[name] for name in each.indicator.inputs], _stretches(usable, edges))
        columns |= zip(each.columns, map(_nullable, made), strict=True)
    return pa.table(columns) if columns else table.select([])


def _over_stretches(chosen: Chosen, inputs: Sequence[Floats], stretches: Iterable[tuple[int, int]]) -> list[Floats]:
    """Return the columns of an indicator, with NaN outside of ``stretches``."""
    results = [np.full(len(inputs[0]), np.nan) for _ in chosen.columns]
    with np.errstate(all="ignore"):  # what a division by zero makes has no value, and becomes null
        for first, after in stretches:
            made = _call(chosen, [each[first:after] for each in inputs], len(results))
            for result, part in zip(results, made, strict=True):
                result[first:after] = part
    return results


def _call(chosen: Chosen, inputs: Sequence[Floats], columns: int) -> list[Floats]:
    """Return what the function of an indicator makes of one stretch, an array for each of its ``columns``."""
    function, length = chosen.indicator.compute, len(inputs[0])
    try:
        made = function(*inputs, *chosen.values)
        several = made if isinstance(made, tuple) else (made,)
        arrays = [np.asarray(each, np.float64) for each in several]
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


def _stretches(usable: Bools, begins: npt.NDArray[np.int64]) -> Iterable[tuple[int, int]]:
    """Return the half-open runs of rows that are ``usable``, divided where something else ``begins``."""
    changes = np.flatnonzero(np.diff(usable, prepend=False, append=False))
    firsts, afters = changes[::2], changes[1::2]
    inside = begins[usable[begins] & usable[begins - 1]]
    edges = np.sort(np.concatenate((firsts, inside))), np.sort(np.concatenate((afters, inside)))
    return zip(*(each.tolist() for each in edges), strict=True)


def _session_begins(ts: npt.NDArray[np.int64], sessions: npt.ArrayLike | None) -> npt.NDArray[np.int64]:
    """Return the rows, but the first, at which another session begins."""
    numbers = ts // _DAY_US if sessions is None else _rows(sessions, len(ts), name="sessions")
    return np.flatnonzero(numbers[1:] != numbers[:-1]) + 1


def _choose(indicators: Iterable[str] | Sequence[Chosen]) -> list[Chosen]:
    if isinstance(indicators, list | tuple) and indicators and all(isinstance(each, Chosen) for each in indicators):
        return list(indicators)
    return choose(cast("Iterable[str]", indicators))


def _need(table: pa.Table, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise UsageError(f"table has no {' '.join(missing)}, which these indicators take; it has {table.column_names}")


def _check_sorted(ts: npt.NDArray[np.int64], begins: npt.NDArray[np.int64]) -> None:
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
    """Return numbers as float64, with NaN for null."""
    numbers = column.cast(pa.float64())
    return np.ascontiguousarray(numpy_of(pc.fill_null(numbers, _NAN) if numbers.null_count else numbers))


def _nullable(values: Floats) -> pa.Array:
    """Return ``values`` as an array with null where they are not finite."""
    known = np.isfinite(values)
    if known.all():
        return number_array(values)
    buffers = [pa.py_buffer(np.packbits(known, bitorder="little")), pa.py_buffer(np.where(known, values, 0.0))]
    return pa.Array.from_buffers(pa.float64(), len(values), buffers)
