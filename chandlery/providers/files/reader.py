"""Reads one file of bars, text or Parquet.

A cell that cannot be read is an error that names its line; a bar that can be read but makes no sense is passed on.
Not here: how a text file is written (``dialect``), which column is which (``columns``), what times mean (``times``),
which files there are (``folder``) and what is kept of them (``provider``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chandlery.core.windows import DAY_US
from chandlery.providers.files.assembly import FileBars, Shape, assemble
from chandlery.providers.files.columns import Columns, find_columns, plain, zone_in
from chandlery.providers.files.csv_file import (
    counting_columns,
    groups_thousands,
    line_of,
    read_cells,
    read_columns,
)
from chandlery.providers.files.dialect import TextFile, open_text
from chandlery.providers.files.headers import Header, header_of, read_header
from chandlery.providers.files.layout import Layout
from chandlery.providers.files.naming import PARQUET
from chandlery.providers.files.presets import suggest
from chandlery.providers.files.times import Times
from chandlery.providers.files.unreadable import UnreadableError

_WHOLE = re.compile(r"\s*[+-]?\d*\s*")
_TWO_DAYS = 2 * DAY_US


def read_text_file(file: Path, times: Times, layout: Layout) -> FileBars:
    """Return the bars of a text file, plain or compressed.

    Raises:
        UnreadableError: a column or a cell cannot be read; the errors of pyarrow, of the compressions and of the system
            pass through.
    """
    text = _open(file, layout)
    header = read_header(text, layout)
    columns = columns_of(header, layout, counting_columns(text), text.encoding)
    if not text.sample:
        raise UnreadableError("the file holds no bars: nothing stands below its header")
    times = _in_named_zone(times, columns)
    whole = all(_WHOLE.fullmatch(row[place]) for row in text.sample for place in columns.prices if place < len(row))
    form = f"text, {text.encoding}, cells divided by {text.delimiter!r}"
    shape = Shape(form, columns, header.panel, whole, header.symbol, header.side)
    at = columns.places["ts"]
    types = {place: pa.string() for place in (columns.clock, columns.places.get("symbol")) if place is not None}
    types[at] = pa.string() if columns.clock is not None else times.csv_type(_first(text, at))
    try:
        hinted = groups_thousands(text, at)
        cells = read_cells(text, shape.wanted, types, shape.counts, layout.decimal, hinted=hinted)
        return assemble(cells, shape, times, layout, hinted=hinted)
    except UnreadableError as error:
        if error.row is None:
            raise
        raise UnreadableError(str(error), line=line_of(text, error.row)) from None


def read_parquet_file(file: Path, times: Times, layout: Layout, start: int | None, end: int | None) -> FileBars:
    """Return the bars of a Parquet file, as ``read_text_file`` does; only those near ``[start, end)`` (µs)."""
    schema = pq.read_schema(file)
    header = _parquet_header(file, layout)
    columns = columns_of(header, layout, frozenset(p for p, name in enumerate(schema.names) if _counts(name, schema)))
    times = _in_named_zone(times, columns)
    whole = all(pa.types.is_integer(schema.field(place).type) for place in columns.prices)
    shape = Shape("Parquet", columns, header.panel, whole, header.symbol, header.side)
    near = None
    if start is not None and end is not None and columns.clock is None:
        # Local times and dates are up to a day from UTC, so the exact cut is made later.
        at = columns.places["ts"]
        ts = pc.field(schema.names[at])
        first, last = (times.bound(edge, schema.field(at).type) for edge in (start - _TWO_DAYS, end + _TWO_DAYS))
        if first is not None and last is not None:
            near = ts.is_null() | ((ts >= first) & (ts < last))
    names = [schema.names[place] for place in shape.wanted]
    table = pq.read_table(file, columns=names, filters=near, partitioning=None)
    cells = {place: _simple(table[name]) for place, name in zip(shape.wanted, names, strict=True)}
    return assemble(cells, shape, times, layout, hinted=False)


def names_symbols(file: Path, layout: Layout) -> bool:
    """Whether a file names the symbols of its bars itself: in a column, or above its columns.

    Raises:
        UnreadableError: its header cannot be read; so do the errors that ``read_text_file`` passes through.
    """
    header = _parquet_header(file, layout) if is_parquet(file) else read_header(_open(file, layout, head=True), layout)
    return bool(header.symbols) or "symbol" in columns_of(header, layout, frozenset()).places


def symbols_in(file: Path, layout: Layout) -> list[str]:
    """Return the symbols that a file names itself, sorted, without reading its bars; raises like ``names_symbols``."""
    text = None if is_parquet(file) else _open(file, layout)
    header = _parquet_header(file, layout) if text is None else read_header(text, layout)
    if header.symbols:
        return header.symbols
    at = columns_of(header, layout, frozenset()).places.get("symbol")
    if at is None:
        return []
    if text is None:
        column = _simple(pq.read_table(file, columns=[header.names[at]], partitioning=None)[0])
    else:
        (column,) = read_columns(text, [at], {at: pa.string()})
    return sorted({symbol.strip() for symbol in column.unique().to_pylist() if symbol and symbol.strip()})


def is_parquet(file: Path) -> bool:
    """Whether a file is called like one of Parquet."""
    return file.suffix.lower() in PARQUET


def _open(file: Path, layout: Layout, *, head: bool = False) -> TextFile:
    return open_text(file, encoding=layout.encoding, delimiter=layout.delimiter, head=head)


def _parquet_header(file: Path, layout: Layout) -> Header:
    names = pq.read_schema(file).names
    return header_of([[name] for name in names], layout) or Header(names, None, {})


def columns_of(header: Header, layout: Layout, counts: frozenset[int], encoding: str = "") -> Columns:
    """Return where the columns of a file stand."""
    said = dict(layout.columns) if isinstance(layout.columns, dict) else {}
    ignored = frozenset(plain(name) for name in layout.ignore_columns)
    lacking = f"there is no column {', '.join(header.lacking)}" if header.lacking else ""
    return find_columns(
        header.names,
        ignored,
        {name: meaning for name, meaning in header.said.items() if name not in ignored} | said,
        counts=counts,
        has_prices=header.panel is None,
        hint=lacking
        or suggest([header.said.get(plain(name), name) for name in header.names])
        or _doubt(encoding, header.names, layout),
    )


def _doubt(encoding: str, names: Sequence[str], layout: Layout) -> str:
    """Return advice where names may be of another script than the encoding that was taken for them."""
    if layout.encoding is not None or encoding != "cp1252" or all(name.isascii() for name in names):
        return ""
    return "the text is not in UTF-8 and was taken for cp1252; for another, --encoding, as in gbk or shift_jis"


def _in_named_zone(times: Times, columns: Columns) -> Times:
    """Return ``times`` in the zone that the name of their column says, where no zone was given."""
    named = [zone_in(columns.names[place]) for place in (columns.places["ts"], columns.clock) if place is not None]
    zone = next((zone for zone in named if zone), None)
    return times if zone is None or times.tz is not None else replace(times, tz=zone)


def _first(text: TextFile, at: int) -> str:
    return text.first[at].strip() if at < len(text.first) else ""


def _counts(name: str, schema: pa.Schema) -> bool:
    """Whether a column is an index of whole numbers that pandas wrote beside a column of times."""
    if plain(name) not in {"index", "level_0", "__index_level_0__", "unnamed:_0"}:
        return False
    times = {"date", "time", "ts", "timestamp", "datetime"}
    others = [other for other in schema if pa.types.is_temporal(other.type) or plain(other.name) in times]
    return pa.types.is_integer(schema.field(name).type) and bool(others)


def _simple(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column without the ways in which Parquet and pandas keep text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        column = column.cast(pa.large_string())
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    return column
