"""Reads the columns of a text file, and finds the line of a cell that cannot be read.

Plain numbers and ISO 8601 times are read by Arrow at once; a file that has others is read as text. Not here: how the
file is written (``dialect``), and what becomes of its columns (``reader``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from chandlery.core.text import counted
from chandlery.providers.files.dialect import TextFile
from chandlery.providers.files.numbers import BLANK, may_have_thousands
from chandlery.providers.files.unreadable import UnreadableError

_COUNT = re.compile(r"\d{1,7}")
_THOUSANDS = re.compile(rb"\.\d{3}[^\d]")


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


def read_cells(
    file: TextFile,
    wanted: Sequence[int],
    types: Mapping[int, pa.DataType],
    counts: Sequence[int],
    decimal: str | None,
    *,
    hinted: bool,
) -> dict[int, pa.ChunkedArray]:
    """Return columns by position: times and symbols as ``types`` say, and the others as numbers where these are plain.

    Others are text where one is not plain, and where all points may stand between thousands: Arrow takes them for
    decimals.

    Args:
        file: the file.
        wanted: positions.
        types: by position, of those that hold no numbers.
        counts: positions of volumes and counts.
        decimal: the separator of decimals, where a person said it.
        hinted: whether the file is written like those whose points stand between thousands.

    Raises:
        UnreadableError: a row has too many or too few cells; names its line.
    """
    values = [place for place in wanted if place not in types]
    plain = decimal == "." or (decimal is None and not _may_have_thousands(file, values, counts, hinted=hinted))
    if plain:
        cells = read_columns(file, wanted, {**types, **dict.fromkeys(values, pa.float64())})
        found = dict(zip(wanted, cells, strict=True))
        if decimal or not any(_has_fractions(found[place]) for place in counts) or _decides(file, values):
            return found
    return dict(zip(wanted, read_columns(file, wanted, dict(types)), strict=True))


def groups_thousands(file: TextFile, at: int) -> bool:
    """Whether a file is written like those whose points stand between thousands; ``at`` is the place of its times."""
    first = file.first[at] if at < len(file.first) else ""
    return file.delimiter == ";" or re.match(r"\s*\d{1,2}\.\s?\d{1,2}\.", first) is not None


def _may_have_thousands(file: TextFile, values: Sequence[int], counts: Sequence[int], *, hinted: bool) -> bool:
    """Whether points that may stand between thousands are where they are doubted."""
    if _decides(file, values):
        return False
    seen = may_have_thousands(_sampled(file, values if hinted else counts))
    return seen is True or (seen is None and hinted and _THOUSANDS.search(file.text, file.begin) is not None)


def _decides(file: TextFile, values: Sequence[int]) -> bool:
    """Whether the first rows have a point that can be nothing but a decimal one."""
    return may_have_thousands(_sampled(file, values)) is False


def _sampled(file: TextFile, places: Sequence[int]) -> list[str]:
    return [row[place] for row in file.sample for place in places if place < len(row)]


def _has_fractions(cells: pa.ChunkedArray) -> bool:
    return pa.types.is_floating(cells.type) and pc.any(pc.not_equal(pc.floor(cells), cells)).as_py() is True


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
        ),
    )
    return [table[str(place)] for place in wanted]


def _refuse_widths(file: TextFile) -> None:
    for line, row in file.rows():
        if len(row) != file.width:
            what = "the header has" if file.headers and len(file.headers[-1]) == file.width else "other rows have"
            raise UnreadableError(f"{counted(len(row), 'cell')} where {what} {file.width}", line=line)
