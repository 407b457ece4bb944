"""The error that says why a file cannot be read, and where. Not here: what is checked (``times``, ``numbers``)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


class UnreadableError(Exception):
    """A file cannot be read: why, and where, as far as known.

    Attributes:
        row: number of the row that is wrong, from 0, without blank lines; None where it is not known.
        at: text to put after the file's name: the line, or nothing.
    """

    def __init__(self, why: str, *, row: int | None = None, line: int | None = None) -> None:
        super().__init__(why)
        self.row = row
        self.at = "" if line is None else f", line {line}"


def flags(bad: npt.NDArray[np.bool_]) -> pa.ChunkedArray:
    """Return flags by row as Arrow has them."""
    return pa.chunked_array([pa.array(bad)])


def refuse(bad: pa.ChunkedArray, why: Callable[[object], str], values: pa.ChunkedArray) -> None:
    """Raise for the first row that is ``bad``, if any; ``why`` turns its value into the reason."""
    row = pc.index(bad, pa.scalar(value=True)).as_py()
    if row >= 0:
        raise UnreadableError(why(values[row].as_py()), row=row)
