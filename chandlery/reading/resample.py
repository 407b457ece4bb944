"""Bars of a width that is not stored, made of narrower ones as roll-ups are.

A bar has the first open, the highest high, the lowest low and the last close of its base bars, and the sums of what is
known of volume, trades and price x volume. It is known since the last of its base bars is.

Not here: which base bars there are (``made``), and roll-ups that are stored (``rollups``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.core.arrow import empty_table, number_array, numpy_of, text_array
from chandlery.core.calendars import Int64s
from chandlery.core.schema import MIXED, STORED, TS
from chandlery.core.sums import Summands

_Places: TypeAlias = npt.NDArray[np.intp]
_Mask: TypeAlias = npt.NDArray[np.bool_]
_MOST_TRADES = np.iinfo(np.int32).max


def needed_for(columns: Collection[str]) -> list[str]:
    """Return the columns that base bars need so that bars with ``columns`` can be made of them."""
    needed = {"instrument_id", "ts", *columns} | ({"volume"} if "vwap" in columns else set())
    return [name for name in STORED.names if name in needed]


def resample(bars: pa.Table, labels: Int64s, columns: Collection[str]) -> pa.Table:
    """Return a bar of each run of ``bars`` of one instrument with the same label.

    Args:
        bars: some columns of schema ``STORED``, ``needed_for(columns)`` among them, sorted by (instrument_id, ts).
        labels: the start of the bar that each belongs to, µs since 1970-01-01 00:00 UTC; ascending for each instrument.
        columns: which to return.

    Returns:
        Table of schema ``STORED``: ``instrument_id``, ``ts``, and those of ``columns``, in its order. ``volume`` and
        ``trades`` are null where none is known, ``vwap`` unless every bar with a volume has one. ``source`` is the base
        bars' or, if they differ, ``MIXED``.
    """
    names = [name for name in STORED.names if name in {"instrument_id", "ts"} or name in columns]
    if not bars.num_rows:
        return empty_table(pa.schema([STORED.field(name) for name in names]))
    groups = _Groups(bars, labels)
    schema = pa.schema([STORED.field(name) for name in names])
    return pa.Table.from_arrays([groups.column(name) for name in names], schema=schema)


class _Groups:
    """Runs of bars, each of which becomes one bar."""

    def __init__(self, bars: pa.Table, labels: Int64s) -> None:
        self._bars, self._labels = bars, labels
        self._ids = numpy_of(bars["instrument_id"])
        changes = (self._ids[1:] != self._ids[:-1]) | (labels[1:] != labels[:-1])
        self._starts: _Places = np.concatenate([[0], np.flatnonzero(changes) + 1])
        self._ends: _Places = np.append(self._starts[1:], len(labels))

    def column(self, name: str) -> pa.Array:
        """Return a column of the bars that they become."""
        makers: dict[str, Callable[[], pa.Array]] = {
            "instrument_id": lambda: number_array(self._ids[self._starts]),
            "ts": lambda: _times(self._labels[self._starts]),
            "open": lambda: number_array(numpy_of(self._bars[name])[self._starts]),
            "high": lambda: number_array(np.maximum.reduceat(numpy_of(self._bars[name]), self._starts)),
            "low": lambda: number_array(np.minimum.reduceat(numpy_of(self._bars[name]), self._starts)),
            "close": lambda: number_array(numpy_of(self._bars[name])[self._ends - 1]),
            "volume": self._sum_of_volume,
            "vwap": self._vwap,
            "trades": self._trades,
            "source": lambda: _sources(_one_chunk(self._bars[name]), self._starts),
            "known_at": lambda: _times(np.maximum.reduceat(numpy_of(self._bars[name]).view(np.int64), self._starts)),
        }
        return makers[name]()

    def _sum_of_volume(self) -> pa.Array:
        summands, known = self._volume
        return _masked(summands.sums(self._starts, self._ends), np.logical_or.reduceat(known, self._starts))

    def _vwap(self) -> pa.Array:
        price, priced = _known(self._bars["vwap"])
        if not priced.any():
            return pa.nulls(len(self._starts), pa.float64())
        volume = self._volume[0]
        total = volume.sums(self._starts, self._ends)
        turnover = Summands(price * volume.values).sums(self._starts, self._ends)
        complete = np.logical_and.reduceat(priced | (volume.values == 0), self._starts)
        with np.errstate(invalid="ignore", divide="ignore"):
            return _masked(turnover / total, complete & (total > 0))

    def _trades(self) -> pa.Array:
        trades, known = _known(self._bars["trades"])
        total = np.add.reduceat(trades.astype(np.int64), self._starts)
        counted = np.logical_or.reduceat(known, self._starts) & (total <= _MOST_TRADES)
        return _masked(np.where(counted, total, 0).astype(np.int32), counted)

    @cached_property
    def _volume(self) -> tuple[Summands, _Mask]:
        volume, known = _known(self._bars["volume"])
        return Summands(volume), known


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.unify_dictionaries().combine_chunks()


def _known(column: pa.ChunkedArray) -> tuple[npt.NDArray[Any], _Mask]:
    """Return the values of a column, 0 where null, and which are not null."""
    if not column.null_count:
        return numpy_of(column), np.ones(len(column), np.bool_)
    array = _one_chunk(column)
    return numpy_of(array.fill_null(0)), array.is_valid().to_numpy(zero_copy_only=False)


def _times(micros: Int64s) -> pa.Array:
    return number_array(micros.view("datetime64[us]")).cast(TS)


def _sources(sources: pa.DictionaryArray, starts: _Places) -> pa.DictionaryArray:
    codes = numpy_of(sources.indices)
    low, high = np.minimum.reduceat(codes, starts), np.maximum.reduceat(codes, starts)
    names: list[str] = sources.dictionary.to_pylist()
    names += [MIXED] * (MIXED not in names)
    mixed = np.where(low == high, low, names.index(MIXED)).astype(np.int32)
    return pa.DictionaryArray.from_arrays(number_array(mixed), text_array(names))


def _masked(values: npt.NDArray[Any], valid: _Mask) -> pa.Array:
    return number_array(values) if valid.all() else pa.array(values, mask=~valid)
