"""Folders with a file for each field: ``Open.csv``, ``High.csv`` and so on, each with a column for each symbol.

Not here: one file with the fields of several symbols side by side (``wide``).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chandlery.core.schema import PRICES, VALUES
from chandlery.core.text import counted
from chandlery.providers.files.assembly import FileBars, Shape, assemble
from chandlery.providers.files.columns import Columns, is_index, meaning_of, plain
from chandlery.providers.files.dialect import open_text
from chandlery.providers.files.layout import Layout
from chandlery.providers.files.naming import PARQUET, split_name
from chandlery.providers.files.times import Times
from chandlery.providers.files.unreadable import UnreadableError
from chandlery.providers.files.wide import Panel

_TIMES = frozenset({"ts", "date", "time"})
_DELIMITERS = ("\t", ";", "|", ",")


@dataclass(frozen=True, slots=True)
class _Field:
    """What stands in one file: its times, and a column for each symbol."""

    times: pa.Array
    values: Mapping[str, pa.Array]


def field_of(name: str) -> str | None:
    """Return the field after which a file is called: ``open`` for ``Open.csv``; None for any other name."""
    stem, suffix = split_name(name)
    meaning = meaning_of(stem) if suffix and len(stem) > 2 else None
    return meaning if meaning in VALUES else None


def fields_beside(file: Path) -> dict[str, Path]:
    """Return the files of all fields by name, where ``file`` is that of the open and those of all prices lie there."""
    if field_of(file.name) != "open":
        return {}
    found = {name: path for path in sorted(file.parent.iterdir()) if (name := field_of(path.name))}
    return found if set(PRICES) <= found.keys() else {}


def symbols_of_fields(files: Mapping[str, Path], layout: Layout) -> list[str]:
    """Return the symbols that have a column in the file of each price, sorted."""
    columns = [set(_read(files[name], layout).values) for name in PRICES]
    return sorted(set.intersection(*columns))


def read_fields(files: Mapping[str, Path], times: Times, layout: Layout) -> FileBars:
    """Return the bars of a file for each field.

    Raises:
        UnreadableError: a file has no column of times, or no symbol is in all; a cell cannot be read.
    """
    parts = {name: _read(path, layout) for name, path in files.items()}
    symbols = sorted(set.intersection(*(set(parts[name].values) for name in PRICES)))
    if not symbols:
        raise UnreadableError(f"no symbol has a column in each of {', '.join(files[name].name for name in PRICES)}")
    moments = pc.unique(pa.chunked_array([part.times for part in parts.values()]))
    cells, names = {0: pa.chunked_array([moments])}, ["time"]
    places: dict[str, dict[str, int]] = {symbol: {} for symbol in symbols}
    for name, part in parts.items():
        at = pc.index_in(moments, value_set=part.times)
        for symbol in symbols:
            if symbol in part.values:
                places[symbol][name] = len(names)
                cells[len(names)] = pa.chunked_array([part.values[symbol].take(at)])
                names.append(f"{symbol} in {files[name].name}")
    panel = Panel(places, names, names)
    return assemble(
        cells,
        Shape("a file for each field", Columns({"ts": 0}, None, names), panel, False),
        times,
        layout,
        hinted=False,
    )


def _read(file: Path, layout: Layout) -> _Field:
    if file.suffix.lower() in PARQUET:
        table = pq.read_table(file, partitioning=None)
        names, columns = table.column_names, table.columns
    else:
        names, columns = _read_text(file, layout)
    at = next((place for place, name in enumerate(names) if meaning_of(name) in _TIMES or is_index(name)), None)
    if at is None:
        raise UnreadableError(
            f"{file.name} has no column of times; it has {', '.join(map(plain, names[:5])) or 'none'}"
        )
    arrays = [column.combine_chunks() for column in columns]
    values = {name: array for name, array in zip(names, arrays, strict=True) if name and not is_index(name)}
    values.pop(names[at], None)
    return _Field(arrays[at], values)


def _read_text(file: Path, layout: Layout) -> tuple[list[str], list[pa.ChunkedArray]]:
    """Return the names and the cells of a text file, which may have two columns only."""
    text = open_text(file, encoding=layout.encoding, delimiter=layout.delimiter).text.decode("utf-8", "replace")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    delimiter = layout.delimiter or max(_DELIMITERS, key=lines[0].count)
    header, *rows = csv.reader(lines, delimiter=delimiter)
    names = [cell.strip() for cell in header]
    if rows and len(names) == len(rows[0]) - 1:
        names = ["", *names]
    for row in rows:
        if len(row) != len(names):
            raise UnreadableError(f"{file.name}: {counted(len(row), 'cell')} where the header has {len(names)}")
    return names, [pa.chunked_array([pa.array(column, pa.string())]) for column in zip(*rows, strict=True)]
