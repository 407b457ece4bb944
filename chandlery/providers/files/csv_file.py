"""Reads the columns of a text file, and finds the line of a cell that cannot be read.

Plain numbers and ISO 8601 times are read by Arrow at once; a file that has others is read as text. Not here: how the
file is written (``dialect``), and what becomes of its columns (``reader``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.csv as pacsv

from chandlery.providers.files.dialect import TextFile
from chandlery.providers.files.numbers import BLANK
from chandlery.providers.files.unreadable import UnreadableError

_COUNT = re.compile(r"\d{1,7}")


def counting_columns(file: TextFile) -> frozenset[int]:
    """Return the positions of columns of whole numbers too small to be times, as an index that numbers the rows has."""
    cells = ([row[place].strip() for row in file.sample if place < len(row)] for place in range(file.width))
    return frozenset(place for place, column in enumerate(cells) if all(map(_COUNT.fullmatch, column)))


def read_columns(file: TextFile, wanted: Sequence[int], types: dict[int, pa.DataType]) -> list[pa.ChunkedArray]:
    """Return columns by position, of ``types`` where all their cells are such, and of text otherwise.

    Raises:
        UnreadableError: a row has too many or too few cells; names its line.
    """
    try:
        return _read(file, wanted, types)
    except pa.ArrowInvalid:
        pass
    try:
        return _read(file, wanted, {})
    except pa.ArrowInvalid:
        _refuse_widths(file)
        raise


def line_of(file: TextFile, row: int) -> int:
    """Return the number of the line of a row, counted from 0 without blank lines and comments."""
    return next(line for place, (line, _) in enumerate(file.rows()) if place == row)


def _read(file: TextFile, wanted: Sequence[int], types: dict[int, pa.DataType]) -> list[pa.ChunkedArray]:
    names = [str(place) for place in range(file.width)]
    table = pacsv.read_csv(
        pa.BufferReader(file.body),
        read_options=pacsv.ReadOptions(column_names=names),
        parse_options=pacsv.ParseOptions(delimiter=file.delimiter),
        convert_options=pacsv.ConvertOptions(
            column_types={str(place): types.get(place, pa.string()) for place in wanted},
            include_columns=[str(place) for place in wanted],
            null_values=BLANK,
            strings_can_be_null=True,
        ),
    )
    return [table[str(place)] for place in wanted]


def _refuse_widths(file: TextFile) -> None:
    for line, row in file.rows():
        if len(row) != file.width:
            what = "the header has" if file.headers and len(file.headers[-1]) == file.width else "other rows have"
            raise UnreadableError(f"{len(row)} cells where {what} {file.width}", line=line)
