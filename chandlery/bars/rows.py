"""The rows of a batch, checked and sorted, as columns that can be sent to the server.

Not here: how they get into a table (``merge``), and in which transaction (``publishing``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.core.schema import PRICES, VALUES
from chandlery.core.text import counted
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import instant
from chandlery.database.arrays import Column
from chandlery.errors import UsageError

#: Added to a time so that those before 1970 are not negative.
_OFFSET = 1 << 31
#: Columns of incoming rows, in the order in which they are sent, and their types.
INCOMING = {
    "instrument_id": "int4",
    "ts": "timestamptz",
    "open": "float8",
    "high": "float8",
    "low": "float8",
    "close": "float8",
    "volume": "float8",
    "vwap": "float8",
    "trades": "int4",
    "source": "int2",
}


class Batch:
    """An incoming table of schema ``BARS``, checked.

    Attributes:
        symbols: the distinct symbols of its rows.
        sources: the names of its sources; some may be of no row.

    Raises:
        UsageError: a key, a source or a price is null, or a number is not finite.
    """

    def __init__(self, bars: pa.Table) -> None:
        self._bars = bars
        symbol, source = bars["symbol"].combine_chunks(), bars["source"].combine_chunks()
        if symbol.null_count or source.null_count or bars["ts"].null_count:
            raise UsageError("symbol, ts and source must not be null")
        self._symbol_codes = symbol.indices.to_numpy()
        self._source_codes = source.indices.to_numpy()
        # A dictionary may hold names that no row uses.
        self._used = np.unique(self._symbol_codes)
        self._names = symbol.dictionary.to_pylist()
        self.symbols = [self._names[code] for code in self._used]
        self.sources: list[str] = source.dictionary.to_pylist()
        self._ts = np.asarray(bars["ts"].to_numpy(), "datetime64[us]")
        for name in (*PRICES, "volume", "vwap"):
            values = bars[name]
            if (values.null_count and name in PRICES) or not np.isfinite(values.drop_null().to_numpy()).all():
                raise UsageError(f"{name} has a value that is null or not finite; such a bar cannot be stored")

    def __len__(self) -> int:
        return int(self._bars.num_rows)

    @cached_property
    def first(self) -> datetime:
        """The earliest start of a bar."""
        return _moment(self._ts.min())

    @cached_property
    def last(self) -> datetime:
        """The latest start of a bar."""
        return _moment(self._ts.max())

    def rows(self, ids: Mapping[str, int], sources: Sequence[int]) -> Rows:
        """Return the rows with ids for names, sorted by key."""
        table = np.zeros(len(self._names), np.int32)
        table[self._used] = [ids[symbol] for symbol in self.symbols]
        columns = {
            "instrument_id": Column(table[self._symbol_codes]),
            "ts": Column(self._ts),
            "source": Column(np.asarray(sources, np.int16)[self._source_codes]),
        }
        for name in VALUES:
            columns[name] = column_of(self._bars[name])
        return Rows.sorted({name: columns[name] for name in INCOMING})


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that can be sent: columns of ``INCOMING``, unique and sorted by (instrument_id, ts)."""

    columns: dict[str, Column]

    @classmethod
    def sorted(cls, columns: dict[str, Column]) -> Rows:
        """Return ``columns`` sorted by key; raise ``UsageError`` where a key occurs twice."""
        ids, ts = _key(columns)
        later = (ids[1:] > ids[:-1]) | ((ids[1:] == ids[:-1]) & (ts[1:] > ts[:-1]))
        if not later.all():
            order = np.lexsort((ts, ids))
            columns = _pick(columns, order)
            ids, ts = _key(columns)
            same = (ids[1:] == ids[:-1]) & (ts[1:] == ts[:-1])
            if same.any():
                raise UsageError(
                    f"{counted(int(same.sum()), 'bar occurs', 'bars occur')} twice, the first at {ts[1:][same][0]}Z;"
                    " keys are unique"
                )
        return cls(columns)

    def __len__(self) -> int:
        return len(self.columns["ts"].values)

    @property
    def ids(self) -> npt.NDArray[np.int32]:
        """Each row's instrument."""
        return _key(self.columns)[0]

    @property
    def ts(self) -> npt.NDArray[np.datetime64]:
        """Each bar's start, ``datetime64[us]``, UTC."""
        return _key(self.columns)[1]

    @property
    def first(self) -> datetime:
        """The earliest start."""
        return _moment(self.ts.min())

    @property
    def last(self) -> datetime:
        """The latest start."""
        return _moment(self.ts.max())

    def none(self) -> Rows:
        """Return no rows."""
        return Rows(_pick(self.columns, np.empty(0, np.intp)))

    def where(self, mask: npt.NDArray[np.bool_]) -> Rows:
        """Return the rows where ``mask`` holds."""
        return self if mask.all() else Rows(_pick(self.columns, np.flatnonzero(mask)))


def pair_keys(owners: npt.NDArray[np.integer], times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.int64]:
    """Return one number for each pair, in the pairs' order: numpy finds distinct numbers faster than distinct pairs."""
    return owners.astype(np.int64) << 32 | times.astype(np.int64) + _OFFSET


def split_keys(keys: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the owners and the times that ``pair_keys`` made ``keys`` of."""
    return keys >> 32, (keys & 0xFFFFFFFF) - _OFFSET


def count_windows(
    owners: npt.NDArray[np.integer], ts: npt.NDArray[np.datetime64], timeframe: Timeframe
) -> dict[tuple[int, str], int]:
    """Return how many of the bars that start at ``ts`` fall into each (owner, window's key) of ``timeframe``."""
    windows = ts.astype("datetime64[M]" if timeframe.window_kind == "month" else "datetime64[Y]")
    keys, counts = np.unique(pair_keys(owners, windows), return_counts=True)
    codes, places = split_keys(keys)
    names = places.astype(windows.dtype).astype(str)
    return dict(zip(zip(codes.tolist(), names.tolist(), strict=True), counts.tolist(), strict=True))


def column_of(values: pa.ChunkedArray) -> Column:
    """Return an Arrow column of numbers or times as one that can be sent."""
    array = values.combine_chunks()
    if pa.types.is_timestamp(array.type):
        return Column(np.asarray(array.to_numpy(zero_copy_only=False), "datetime64[us]"))
    if array.null_count == 0:
        return Column(array.to_numpy(zero_copy_only=False))
    return Column(array.fill_null(0).to_numpy(zero_copy_only=False), array.is_valid().to_numpy(zero_copy_only=False))


def _key(columns: dict[str, Column]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.datetime64]]:
    ids, ts = columns["instrument_id"].values, columns["ts"].values
    return ids.astype(np.int32, copy=False), ts.astype("datetime64[us]", copy=False)


def _pick(columns: dict[str, Column], index: npt.NDArray[np.intp]) -> dict[str, Column]:
    return {
        name: Column(column.values[index], None if column.valid is None else column.valid[index])
        for name, column in columns.items()
    }


def _moment(ts: np.datetime64) -> datetime:
    return instant(int(ts.astype("datetime64[us]").astype(np.int64)))
