"""A caller's table, of pandas or polars: its times, its symbols, and columns that are put beside its own.

Not here: what is put there (``asof``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from chandlery.core.arrow import numpy_of
from chandlery.core.calendars import Int64s
from chandlery.core.text import shorten
from chandlery.errors import UsageError

#: How many of a unit are a microsecond, or the other way round.
_SCALES = {"s": 1_000_000, "ms": 1000, "us": 1, "ns": -1000}
_ARE_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)


class CallerTable:
    """A table that a caller gave, which is never changed.

    Args:
        left: of pandas or polars.

    Raises:
        UsageError: it is neither.
    """

    def __init__(self, left: Any) -> None:  # noqa: ANN401 - whatever a caller gives
        library = type(left).__module__.partition(".")[0]
        if type(left).__name__ != "DataFrame" or library not in {"pandas", "polars"}:
            raise UsageError(f"left={shorten(type(left))} is no table; give a DataFrame of pandas or polars")
        self._left, self._is_pandas = left, library == "pandas"

    def check_free(self, names: list[str]) -> None:
        """Raise where the table has a column of any of ``names``."""
        taken = [name for name in names if name in list(self._left.columns)]
        if taken:
            raise UsageError(f"columns={shorten(taken)} are in left already; rename them there, or give a prefix")

    def times(self, name: str) -> tuple[Int64s, np.ndarray[Any, np.dtype[np.bool_]]]:
        """Return the times in a column, µs since 1970-01-01 00:00 UTC, rounded down, and which there are.

        Raises:
            UsageError: there is no such column, or it does not have times with a zone.
        """
        column = self._column(name, parameter="on")
        if not pa.types.is_timestamp(column.type):
            raise UsageError(f"on={shorten(name)} is a column of {column.type}; it needs times with a zone")
        if column.type.tz is None:
            raise UsageError(
                f"on={shorten(name)} is a column of times without a zone; say which, for example with"
                f" {'.dt.tz_localize' if self._is_pandas else '.dt.replace_time_zone'}('UTC')"
            )
        scale = _SCALES[column.type.unit]
        counts = numpy_of(column.cast(pa.int64()).fill_null(0))
        there = np.asarray(column.is_valid().to_numpy(zero_copy_only=False))
        return counts * scale if scale > 0 else counts // -scale, there

    def symbols(self, name: str) -> tuple[list[str], Int64s]:
        """Return the different symbols in a column, and the place of each row's among them; -1 where it has none.

        Raises:
            UsageError: there is no such column, or it does not have texts.
        """
        column = self._column(name, parameter="by")
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if not (
            pa.types.is_string(column.type) or pa.types.is_large_string(column.type) or column.type == "string_view"
        ):
            raise UsageError(f"by={shorten(name)} is a column of {column.type}; it needs symbols")
        coded = column.dictionary_encode()
        return coded.dictionary.to_pylist(), numpy_of(coded.indices.fill_null(-1)).astype(np.int64)

    def beside(self, columns: dict[str, pa.Array | pa.ChunkedArray]) -> Any:  # noqa: ANN401 - what a caller gave
        """Return a table of the same kind, with the caller's columns and index, and ``columns`` after them."""
        if self._is_pandas:
            made = {name: column.to_pandas().set_axis(self._left.index) for name, column in columns.items()}
            return self._left.assign(**made)
        import polars as pl  # noqa: PLC0415 - the caller has it

        return self._left.with_columns(pl.Series(name, pl.from_arrow(column)) for name, column in columns.items())

    def _column(self, name: str, *, parameter: str) -> pa.Array:
        left = self._left
        if not isinstance(name, str):
            raise UsageError(f"{parameter}={shorten(name)} is no text; name a column")
        if name in list(left.columns):
            found = left[name]
        elif self._is_pandas and name in list(left.index.names):
            found = left.index.get_level_values(name)
        else:
            names = [
                *map(str, left.columns),
                *(str(each) for each in (left.index.names if self._is_pandas else ()) if each),
            ]
            raise UsageError(f"{parameter}={shorten(name)} is no column of left; it has: {shorten(' '.join(names))}")
        try:
            column = pa.Array.from_pandas(found) if self._is_pandas else found.to_arrow()
        except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"{parameter}={shorten(name)} has values of several kinds: {shorten(error)}") from None
        return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
