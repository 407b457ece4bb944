"""Reads one file of bars, text or Parquet.

A cell that cannot be read is an error that names its line; a bar that can be read but makes no sense is passed on.
Not here: how a text file is written (``dialect``), which column is which (``columns``), what times mean (``times``),
which files there are (``folder``) and what is kept of them (``provider``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chandlery.core.schema import VALUES
from chandlery.core.windows import DAY_US
from chandlery.providers.files import wide
from chandlery.providers.files.bars import oldest_first, priced, to_bars
from chandlery.providers.files.columns import Columns, find_columns, plain, zone_in
from chandlery.providers.files.csv_file import counting_columns, line_of, read_columns
from chandlery.providers.files.dialect import TextFile, open_text
from chandlery.providers.files.headers import Header, read_header
from chandlery.providers.files.layout import Layout
from chandlery.providers.files.naming import PARQUET
from chandlery.providers.files.numbers import find_decimal
from chandlery.providers.files.presets import suggest
from chandlery.providers.files.times import Times
from chandlery.providers.files.unreadable import UnreadableError

_TWO_DAYS = 2 * DAY_US


@dataclass(frozen=True, slots=True)
class Understood:
    """How a file was read, for people.

    Attributes:
        form: its kind: ``csv, utf-8, cells divided by ','``.
        columns: what each of its columns was taken for, by its name there.
        first_time: how its first row writes its time.
        notes: what a person should know: that there is no volume, for example.
    """

    form: str
    columns: Mapping[str, str]
    first_time: str = ""
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Shape:
    """Which column of a file is which, of one symbol or of several."""

    form: str
    columns: Columns
    panel: wide.Panel | None

    @property
    def wanted(self) -> list[int]:
        """The positions of the columns that are read."""
        of_symbols = [place for places in self.panel.parts.values() for place in places.values()] if self.panel else []
        return sorted({*self.columns.needed, *of_symbols})


@dataclass(frozen=True, slots=True)
class FileBars:
    """The bars of one file.

    Attributes:
        bars: ``ts`` and ``schema.VALUES``, oldest first; and first ``symbol`` where the file itself names symbols.
        understood: how it was read.
    """

    bars: pa.Table = field(repr=False)
    understood: Understood

    @property
    def symbols(self) -> list[str]:
        """The symbols that the file itself names, sorted; none where it leaves that to its own name."""
        if "symbol" not in self.bars.column_names:
            return []
        return sorted(symbol for symbol in self.bars["symbol"].unique().to_pylist() if symbol)

    def of(self, symbol: str | None) -> pa.Table:
        """Return the bars of one of ``symbols``, or all bars of a file of one symbol."""
        if "symbol" not in self.bars.column_names:
            return self.bars
        bars = self.bars if symbol is None else self.bars.filter(pc.equal(self.bars["symbol"], symbol))
        return bars.drop_columns("symbol").combine_chunks()


def read_text_file(file: Path, times: Times, layout: Layout) -> FileBars:
    """Return the bars of a text file, plain or compressed.

    Raises:
        UnreadableError: a column or a cell cannot be read; the errors of pyarrow, of the compressions and of the system
            pass through.
    """
    text = _open(file, layout)
    header = read_header(text, layout)
    columns = columns_of(header, layout, counting_columns(text))
    if not text.sample:
        raise UnreadableError("the file holds no bars: nothing stands below its header")
    times = _in_named_zone(times, columns)
    shape = _Shape(f"text, {text.encoding}, cells divided by {text.delimiter!r}", columns, header.panel)
    at = columns.places["ts"]
    types = dict.fromkeys(shape.wanted, pa.float64())
    types |= {place: pa.string() for place in (columns.clock, columns.places.get("symbol")) if place is not None}
    types[at] = pa.string() if columns.clock is not None else times.csv_type(_first(text, at))
    try:
        cells = dict(zip(shape.wanted, read_columns(text, shape.wanted, types), strict=True))
        return _assemble(cells, shape, times, layout)
    except UnreadableError as error:
        if error.row is None:
            raise
        raise UnreadableError(str(error), line=line_of(text, error.row)) from None


def read_parquet_file(file: Path, times: Times, layout: Layout, start: int | None, end: int | None) -> FileBars:
    """Return the bars of a Parquet file, as ``read_text_file`` does; only those near ``[start, end)`` (µs)."""
    schema = pq.read_schema(file)
    header = _parquet_header(file)
    columns = columns_of(header, layout, frozenset(p for p, name in enumerate(schema.names) if _counts(name, schema)))
    times = _in_named_zone(times, columns)
    shape = _Shape("Parquet", columns, header.panel)
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
    return _assemble(cells, shape, times, layout)


def names_symbols(file: Path, layout: Layout) -> bool:
    """Whether a file names the symbols of its bars itself: in a column, or above its columns.

    Raises:
        UnreadableError: its header cannot be read; so do the errors that ``read_text_file`` passes through.
    """
    header = _parquet_header(file) if is_parquet(file) else read_header(_open(file, layout, head=True), layout)
    return header.panel is not None or "symbol" in columns_of(header, layout, frozenset()).places


def symbols_in(file: Path, layout: Layout) -> list[str]:
    """Return the symbols that a file names itself, sorted, without reading its bars; raises like ``names_symbols``."""
    text = None if is_parquet(file) else _open(file, layout)
    header = _parquet_header(file) if text is None else read_header(text, layout)
    if header.panel is not None:
        return sorted(header.panel.parts)
    at = columns_of(header, layout, frozenset()).places.get("symbol")
    if at is None:
        return []
    if text is None:
        column = _simple(pq.read_table(file, columns=[header.names[at]], partitioning=None)[0])
    else:
        (column,) = read_columns(text, [at], {at: pa.string()})
    return sorted(symbol for symbol in column.unique().to_pylist() if symbol)


def is_parquet(file: Path) -> bool:
    """Whether a file is called like one of Parquet."""
    return file.suffix.lower() in PARQUET


def _open(file: Path, layout: Layout, *, head: bool = False) -> TextFile:
    return open_text(file, encoding=layout.encoding, delimiter=layout.delimiter, head=head)


def _parquet_header(file: Path) -> Header:
    names = pq.read_schema(file).names
    panel = wide.split([[name] for name in names])
    return Header(panel.names if panel else names, panel, {})


def columns_of(header: Header, layout: Layout, counts: frozenset[int]) -> Columns:
    """Return where the columns of a file stand."""
    said = dict(layout.columns) if isinstance(layout.columns, dict) else {}
    ignored = frozenset(plain(name) for name in layout.ignore_columns)
    return find_columns(
        header.names,
        ignored,
        said | dict(header.said),
        counts=counts,
        needs_prices=header.panel is None,
        hint=suggest(header.names),
    )


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
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    return column


def _assemble(cells: Mapping[int, pa.ChunkedArray], shape: _Shape, times: Times, layout: Layout) -> FileBars:
    columns, panel = shape.columns, shape.panel
    at, symbol_at = columns.places["ts"], columns.places.get("symbol")
    stamps = cells[at] if columns.clock is None else _join(cells[at], cells[columns.clock])
    texts = {columns.names[p]: c for p, c in cells.items() if p not in {at, columns.clock, symbol_at}}
    texts = {name: column for name, column in texts.items() if pa.types.is_string(column.type)}
    decimal = layout.decimal or find_decimal(texts)
    ts = times.utc(stamps)
    tables = []
    for symbol, places in (panel.parts if panel else {"": columns.places}).items():
        values = {name: cells[place] for name, place in places.items() if name in VALUES}
        bars = to_bars(ts, values, layout, decimal)
        if symbol_at is not None:
            bars = bars.add_column(0, "symbol", cells[symbol_at].cast(pa.string()))
        elif panel and len(panel.parts) > 1:
            bars = bars.add_column(0, "symbol", pa.chunked_array([pa.array([symbol] * bars.num_rows, pa.string())]))
        tables.append(priced(bars) if len(panel.parts if panel else ()) > 1 or layout.blank_rows == "skip" else bars)
    bars = oldest_first(pa.concat_tables(tables))
    return FileBars(
        bars, replace(_understood(shape, times, layout, decimal if texts else None), first_time=_shown(stamps))
    )


def _shown(stamps: pa.ChunkedArray) -> str:
    return str(stamps[0].as_py()) if len(stamps) else ""


def _join(dates: pa.ChunkedArray, clocks: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the text of dates and times of day together; a time like ``930`` gets its zero."""
    texts = [column.cast(pa.string()) for column in (dates, clocks)]
    clock = pc.utf8_trim_whitespace(texts[1])
    digits = pc.match_substring_regex(clock, r"^\d{3}$|^\d{5}$")
    clock = pc.if_else(digits, pc.binary_join_element_wise("0", clock, ""), clock)
    clock = pc.replace_substring_regex(clock, r"^(\d{2})(\d{2})(\d{2})?$", r"\1:\2:\3")
    clock = pc.replace_substring_regex(clock, r":$", ":00")
    return pc.binary_join_element_wise(pc.utf8_trim_whitespace(texts[0]), clock, " ")


def _understood(shape: _Shape, times: Times, layout: Layout, decimal: str | None) -> Understood:
    form, columns, panel = shape.form, shape.columns, shape.panel
    meanings = {place: name for name, place in columns.places.items()}
    if columns.clock is not None:
        meanings[columns.clock] = "ts (time of day)"
    for symbol, places in (panel.parts if panel else {}).items():
        meanings |= {place: f"{name} of {symbol}" for name, place in places.items()}
    notes = []
    has_volume = any("volume" in places for places in panel.parts.values()) if panel else "volume" in columns.places
    if not has_volume:
        notes.append("there is no column of volume: the bars have none (NULL)")
    if times.tz is not None and layout.tz is None:
        notes.append(f"times without a zone are taken for those of {times.tz}, as the name of their column says")
    if times.label == "end":
        notes.append("times are those of a bar's end")
    if layout.price_scale != 1:
        notes.append(f"prices are multiplied by {layout.price_scale:g}")
    if decimal == ",":
        form += ", decimal comma"
    return Understood(
        form, {columns.names[p] or f"column {p + 1}": m for p, m in sorted(meanings.items())}, notes=notes
    )
