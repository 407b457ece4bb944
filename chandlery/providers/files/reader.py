"""Reads one file of bars: which column is which, and which line cannot be read.

What the columns may be called stands in ``ALIASES``. A cell that cannot be read is an error that names its line; a bar
that can be read but makes no sense is passed on. Not here: what times mean (``times``), which files there are and what
is kept of them (``provider``).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from chandlery.core.calendars import Int64s
from chandlery.core.schema import BARS, VALUES
from chandlery.core.windows import DAY_US
from chandlery.providers.files.times import Times, UnreadableError, reads_as, refuse

#: What each column may be called, in any case.
ALIASES = {
    "ts": ("ts", "time", "timestamp", "date", "datetime"),
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c"),
    "volume": ("volume", "v"),
    "vwap": ("vwap", "vw"),
    "trades": ("trades", "n", "count", "trade_count"),
}

_OPTIONAL = frozenset({"vwap", "trades"})
_CANONICAL = {alias: name for name, aliases in ALIASES.items() for alias in aliases}
_TWO_DAYS = 2 * DAY_US
_BLANK = ("", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "N/A", "NA", "<NA>")
_NUMBER = re.compile(r"\s*[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|infinity|nan)\s*", re.IGNORECASE)


def read_csv(file: Path, times: Times, ignored: frozenset[str]) -> pa.Table:
    """Return the bars of a CSV file (plain or gzip): ``ts`` and ``schema.VALUES``, oldest first.

    Args:
        file: which.
        times: how to read its times.
        ignored: columns to drop, as ``plain`` writes them.

    Raises:
        UnreadableError: a column or a cell cannot be read; pyarrow's, csv's and the system's own errors pass through.
    """
    rows = _csv_rows(file)
    header = next(rows, (1, []))[1]
    columns = _columns(header, ignored)
    first = next(rows, (2, []))[1]
    at = columns["ts"]
    types = dict.fromkeys(columns, pa.float64()) | {"ts": times.csv_type(first[at] if at < len(first) else "")}
    names = [f"ignored {place}" for place in range(len(header))]
    for name, place in columns.items():
        names[place] = name
    try:
        table = pacsv.read_csv(
            file,
            read_options=pacsv.ReadOptions(column_names=names, skip_rows=1),
            convert_options=pacsv.ConvertOptions(
                column_types=types, include_columns=list(columns), null_values=_BLANK, strings_can_be_null=True
            ),
        )
        return _oldest_first(table, times.utc(table["ts"]))
    except pa.ArrowInvalid:
        _find_bad_cell(file, names, types)
        raise
    except UnreadableError as error:
        if error.row is None:
            raise
        line = next(line for row, (line, _) in enumerate(_csv_rows(file), start=-1) if row == error.row)
        raise UnreadableError(str(error), line=line) from None


def read_parquet(file: Path, times: Times, ignored: frozenset[str], start: int | None, end: int | None) -> pa.Table:
    """Return the bars of a Parquet file, as ``read_csv`` does; only those near ``[start, end)`` (µs), where given."""
    schema = pq.read_schema(file)
    columns = {name: schema.names[place] for name, place in _columns(schema.names, ignored).items()}
    ts = pc.field(columns["ts"])
    near = None
    if start is not None and end is not None:
        # Local times and dates are up to a day from UTC, so the exact cut is made later.
        kind = schema.field(columns["ts"]).type
        first, last = times.bound(start - _TWO_DAYS, kind), times.bound(end + _TWO_DAYS, kind)
        if first is not None and last is not None:
            near = ts.is_null() | ((ts >= first) & (ts < last))
    table = pq.read_table(file, columns=list(columns.values()), filters=near, partitioning=None)
    table = table.select(list(columns.values())).rename_columns(list(columns))
    return _oldest_first(table, times.utc(table["ts"]))


def plain(column: str) -> str:
    """Return how a column's name is compared: without its case and surrounding blanks."""
    return column.strip().lower()


def stamps_of(bars: pa.Table) -> Int64s:
    """Return ``ts`` in µs since the epoch."""
    return np.asarray(bars["ts"].cast(pa.int64()).to_numpy(), dtype=np.int64)


def _find_bad_cell(file: Path, names: Sequence[str], types: dict[str, pa.DataType]) -> None:
    """Raise for the first cell that cannot be read as its column's type: slow, for Arrow names no line."""
    rows = _csv_rows(file)
    next(rows)
    for line, row in rows:
        if len(row) != len(names):
            raise UnreadableError(f"{len(row)} cells where the header has {len(names)}", line=line)
        for name, cell in zip(names, row, strict=True):
            if name == "ts" and not reads_as(cell, types[name]):
                zone = (
                    ""
                    if not pa.types.is_timestamp(types[name])
                    else " with a zone"
                    if types[name].tz
                    else " without a zone"
                )
                what = "integer" if pa.types.is_integer(types[name]) else "ISO 8601 time"
                raise UnreadableError(f"the time {cell!r} is not an {what}{zone}, as the first row's is", line=line)
            if name in types and name != "ts" and cell not in _BLANK and not _NUMBER.fullmatch(cell):
                raise UnreadableError(f"{name} {cell!r} is not a number", line=line)


def _csv_rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not blank, the header first, with its line number."""
    with TextIOWrapper(pa.input_stream(file), encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines)
        for row in reader:
            if row:
                yield reader.line_num, row


def _columns(header: Sequence[str], ignored: frozenset[str]) -> dict[str, int]:
    """Return where each canonical column stands; raise for columns that are unknown, missing or there twice."""
    kept = [(place, name) for place, name in enumerate(header) if plain(name) not in ignored]
    unknown = [name for _, name in kept if plain(name) not in _CANONICAL]
    places = {_CANONICAL[plain(name)]: place for place, name in kept if plain(name) in _CANONICAL}
    missing = [name for name in ALIASES if name not in places and name not in _OPTIONAL]
    again = [name for place, name in kept if place not in places.values() and name not in unknown]
    problems = {"unknown": unknown, "missing": missing, "of the same meaning as another": again}
    if any(problems.values()):
        seen = "; ".join(f"{what}: {', '.join(names)}" for what, names in problems.items() if names)
        allowed = ", ".join("/".join(aliases) for aliases in ALIASES.values())
        raise UnreadableError(
            f"columns {seen}; allowed, in any case: {allowed} (vwap and trades are optional); "
            "columns to drop can be named with ignore_columns"
        )
    return places


def _oldest_first(table: pa.Table, ts: pa.ChunkedArray) -> pa.Table:
    """Return the columns of a bar in their canonical types, NaN as null, in a stable order of time."""
    columns = {"ts": ts}
    for name in VALUES:
        if name not in table.column_names:
            columns[name] = pa.nulls(len(ts), BARS.field(name).type)
            continue
        try:
            values = table[name].cast(pa.float64())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise UnreadableError(f"column {name} cannot be read as numbers: {error}") from None
        if pc.any(pc.is_nan(values)).as_py():
            values = pc.if_else(pc.is_nan(values), None, values)
        if name == "trades":
            uncountable = pc.or_(pc.not_equal(pc.floor(values), values), pc.greater(pc.abs(values), 2**31 - 1))
            refuse(uncountable, lambda seen: f"trades {seen} is not a 32-bit whole number", values)
        columns[name] = values.cast(BARS.field(name).type)
    bars = pa.table(columns).combine_chunks()
    stamps = stamps_of(bars)
    return bars if (stamps[1:] >= stamps[:-1]).all() else bars.take(np.argsort(stamps, kind="stable"))
