"""The cells of a file become bars, of one symbol or of several, and an account for people of how they were read.

Not here: reading the cells (``reader``), and what is done to the values of one symbol (``bars``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from chandlery.core.schema import VALUES
from chandlery.providers.files import wide
from chandlery.providers.files.bars import oldest_first, priced, to_bars
from chandlery.providers.files.columns import Columns, plain
from chandlery.providers.files.dates import padded
from chandlery.providers.files.layout import Layout
from chandlery.providers.files.numbers import by_value, find_decimal, without_blanks
from chandlery.providers.files.times import Times
from chandlery.providers.files.unreadable import refuse


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
class Shape:
    """Which column of a file is which, of one symbol or of several.

    Attributes:
        form: of the file, for people.
        columns: where they stand.
        panel: which of them belong to which symbol, where the names say so.
        whole_prices: whether prices are written without a point, as those in units of a billionth are.
        symbol: that of all bars, where the names of the columns say it of one alone; else empty.
        side: which of several prices they are, such as ``bid``; else empty.
    """

    form: str
    columns: Columns
    panel: wide.Panel | None
    whole_prices: bool
    symbol: str = ""
    side: str = ""

    @property
    def fixed_point(self) -> bool | None:
        """Whether prices are multiples of a tiny unit, as far as the columns tell."""
        if not self.whole_prices:
            return False
        return True if {"rtype", "publisher_id"} & {plain(name) for name in self.columns.names} else None

    @property
    def wanted(self) -> list[int]:
        """The positions of the columns that are read."""
        of_symbols = [place for places in self.panel.parts.values() for place in places.values()] if self.panel else []
        return sorted({*self.columns.needed, *of_symbols})

    @property
    def counts(self) -> list[int]:
        """The positions of volumes and counts."""
        parts = self.panel.parts.values() if self.panel else [self.columns.places]
        return sorted(places[name] for places in parts for name in ("volume", "trades") if name in places)


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


def assemble(
    cells: Mapping[int, pa.ChunkedArray], shape: Shape, times: Times, layout: Layout, *, hinted: bool
) -> FileBars:
    """Return the bars of a file, oldest first.

    Args:
        cells: of the columns that are read, by position.
        shape: which column is which.
        times: how its times are read.
        layout: how it is written.
        hinted: whether it is written like those whose points stand between thousands.

    Raises:
        UnreadableError: a cell cannot be read; names its row.
    """
    columns, panel = shape.columns, shape.panel
    at, symbol_at = columns.places["ts"], columns.places.get("symbol")
    stamps = cells[at] if columns.clock is None else _join(cells[at], cells[columns.clock])
    if pa.types.is_string(stamps.type):
        stamps = without_blanks(stamps)
    texts = {columns.names[p]: c for p, c in cells.items() if p not in {at, columns.clock, symbol_at}}
    texts = {name: column for name, column in texts.items() if pa.types.is_string(column.type)}
    counts = {columns.names[place] for place in shape.counts}
    decimal = layout.decimal or find_decimal(texts, hinted=hinted, counts=counts)
    ts = times.utc(stamps)
    tables = []
    for symbol, places in (panel.parts if panel else {shape.symbol: columns.places}).items():
        values = {name: cells[place] for name, place in places.items() if name in VALUES}
        bars = to_bars(ts, values, layout, decimal, fixed_point=shape.fixed_point)
        if symbol_at is not None:
            bars = bars.add_column(0, "symbol", _symbols(cells[symbol_at]))
        elif symbol:
            bars = bars.add_column(0, "symbol", pa.chunked_array([pa.array([symbol] * bars.num_rows, pa.string())]))
        tables.append(priced(bars) if len(panel.parts if panel else ()) > 1 or layout.blank_rows == "skip" else bars)
    bars = oldest_first(pa.concat_tables(tables))
    return FileBars(
        bars, replace(_understood(shape, times, layout, decimal if texts else None), first_time=_shown(stamps))
    )


def _symbols(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the symbols of rows. ``NA`` and ``NULL`` are such; a blank one is refused."""
    symbols = pc.fill_null(pc.utf8_trim_whitespace(cells.cast(pa.string())), "")
    refuse(pc.equal(symbols, ""), lambda _: "the symbol is blank", symbols)
    return symbols


def _shown(stamps: pa.ChunkedArray) -> str:
    return str(stamps[0].as_py()) if len(stamps) else ""


def _join(dates: pa.ChunkedArray, clocks: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the text of dates and times of day together; a time like ``930`` gets its zeros."""
    date = by_value(dates.cast(pa.string()), without_blanks)
    return pc.binary_join_element_wise(date, by_value(clocks.cast(pa.string()), _clock), " ")


def _clock(clocks: pa.Array) -> pa.Array:
    clocks = padded(without_blanks(clocks))
    clocks = pc.replace_substring_regex(clocks, r"^(\d{2})(\d{2})(\d{2})?$", r"\1:\2:\3")
    return pc.replace_substring_regex(clocks, r":$", ":00")


def _understood(shape: Shape, times: Times, layout: Layout, decimal: str | None) -> Understood:
    form, columns, panel = shape.form, shape.columns, shape.panel
    meanings = {place: name for name, place in columns.places.items()}
    if columns.clock is not None:
        meanings[columns.clock] = "ts (time of day)"
    for symbol, places in (panel.parts if panel else {}).items():
        meanings |= {place: f"{name} of {symbol}" for name, place in places.items()}
    names = panel.labels if panel else columns.names
    notes = [f"prices are those of {shape.side}"] if shape.side else []
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
    return Understood(form, {names[p] or f"column {p + 1}": m for p, m in sorted(meanings.items())}, notes=notes)
