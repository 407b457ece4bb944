"""Bars from a person's own files: ``DIR/bars_<tf>/<SYMBOL>.{csv,csv.gz,parquet}``, ``/`` in a symbol written ``-``.

What the columns may be called stands in ``ALIASES``. A cell that cannot be read is an error that names its line; a bar
that can be read but makes no sense is passed on. Not here: whether a bar makes sense (the gate), and writing files.
"""

from __future__ import annotations

import csv
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from threading import Lock
from typing import Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from chandlery.calendars import Int64s, microseconds
from chandlery.errors import ConfigurationError, ProviderBadDataError, ProviderError, ProviderNotFoundError, UsageError
from chandlery.providers.base import BarReply, BarRequest
from chandlery.schema import BARS, TS, VALUES, empty_bars
from chandlery.timeframe import INGESTED, Timeframe

EpochUnit: TypeAlias = Literal["s", "ms", "us", "ns"]

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
SUFFIXES = (".csv", ".csv.gz", ".parquet")

_OPTIONAL = frozenset({"vwap", "trades"})
_CANONICAL = {alias: name for name, aliases in ALIASES.items() for alias in aliases}
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_DAY = 86_400
_YEAR_1, _YEAR_10000 = -62_135_596_800, 253_402_300_800  # in seconds
_CACHED_ROWS = 5_000_000

_BLANK = ("", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "N/A", "NA", "<NA>")
_EPOCH = re.compile(r"[+-]?\d+")
_ZONED = re.compile(r"[T ]\d\d:\d\d.*(Z|[+-]\d\d(:?\d\d)?)")
_FINER_THAN_US = re.compile(r"\.\d{7,}")
_MIDNIGHT = re.compile(r"([T ]00:00(:00(\.0+)?)?(Z|[+-]\d\d(:?\d\d)?)?)?")
_NUMBER = re.compile(r"\s*[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|infinity|nan)\s*", re.IGNORECASE)


class FilesProvider:
    """Serves ``1m`` and ``1d`` from files.

    Args:
        path: folder that holds ``bars_1m`` and ``bars_1d``.
        tz: IANA zone of times that carry none, such as ``America/New_York``.
        epoch_unit: what integer times count since 1970-01-01 UTC.
        ignore_columns: columns to drop, in any case, such as ``Adj Close``.

    Raises:
        UsageError: ``tz`` or ``epoch_unit`` is not known.
    """

    name = "files"
    timeframes = frozenset(INGESTED)

    def __init__(
        self,
        path: Path,
        *,
        tz: str | None = None,
        epoch_unit: EpochUnit | None = None,
        ignore_columns: Sequence[str] = (),
    ) -> None:
        if epoch_unit is not None and epoch_unit not in _PER_SECOND:
            raise UsageError(f"epoch_unit={epoch_unit!r} is not known; allowed: {' '.join(get_args(EpochUnit))}")
        if tz is not None:
            try:
                ZoneInfo(tz)
            except (ValueError, OSError, LookupError):
                raise UsageError(f"tz={tz!r} is not an IANA time zone such as America/New_York or UTC") from None
        self._path = Path(path).expanduser()
        self._tz = tz
        self._epoch_unit = epoch_unit
        self._ignored = frozenset(_plain(column) for column in ignore_columns)
        self._cache = _Cache(_CACHED_ROWS)

    def symbols(self, timeframe: Timeframe) -> list[str]:
        """Return the names of the files held for ``timeframe``, sorted; ``BTC/USD`` shows as ``BTC-USD``.

        Raises:
            ConfigurationError: there is no such folder.
        """
        found = (_split(entry.name) for entry in self._folder(timeframe).iterdir() if entry.is_file())
        return sorted({stem for stem, suffix in found if suffix and not stem.startswith(".")})

    def fetch(self, request: BarRequest) -> BarReply:
        """Return the bars that start in ``[start, end)``; a symbol without a readable file is among the failures.

        Raises:
            ConfigurationError: there is no folder for the timeframe.
        """
        start, end = microseconds(request.start), microseconds(request.end)
        self._folder(request.timeframe)
        served: dict[str, pa.Table] = {}
        failures: dict[str, ProviderError] = {}
        for symbol in dict.fromkeys(request.symbols):
            try:
                served[symbol] = _between(self._bars(symbol, request.timeframe, start, end), start, end)
            except ProviderError as error:
                failures[symbol] = error
        return BarReply(_with_names(served, self.name), failures)

    def span(self, symbol: str, timeframe: Timeframe) -> tuple[datetime, datetime] | None:
        """Return ``[first bar's start, last bar's end)`` in UTC, or None where the file holds no bar.

        Raises:
            ConfigurationError: there is no folder for the timeframe.
            ProviderNotFoundError: there is no file for the symbol.
            ProviderBadDataError: the file cannot be read.
        """
        ts = self._bars(symbol, timeframe)["ts"]
        if not len(ts):
            return None
        last = ts[-1].value + timeframe.microseconds
        return ts[0].as_py(), pa.scalar(last, TS).as_py()

    def _folder(self, timeframe: Timeframe) -> Path:
        if timeframe not in self.timeframes:
            allowed = " ".join(INGESTED)
            raise UsageError(f"timeframe={timeframe.value!r} is derived, not read from files; allowed: {allowed}")
        folder = self._path / timeframe.table
        if not folder.is_dir():
            raise ConfigurationError(
                f"there is no folder {folder}; expected DIR/{timeframe.table}/SYMBOL.csv, .csv.gz or .parquet"
            )
        return folder

    def _file(self, symbol: str, timeframe: Timeframe) -> Path:
        stem = self._folder(timeframe) / symbol.replace("/", "-")
        files = [file for suffix in SUFFIXES if (file := stem.with_name(stem.name + suffix)).is_file()]
        if not files:
            raise ProviderNotFoundError(
                f"no file for {symbol}: looked for {stem} with {', '.join(SUFFIXES)}", provider=self.name, symbol=symbol
            )
        if len(files) > 1:
            names = " and ".join(file.name for file in files)
            raise ProviderBadDataError(
                f"{files[0].parent} holds {names}; keep one of them", provider=self.name, symbol=symbol
            )
        return files[0]

    def _bars(self, symbol: str, timeframe: Timeframe, start: int | None = None, end: int | None = None) -> pa.Table:
        """Return the file's bars oldest first; of Parquet only those near ``[start, end)``, where given."""
        file = self._file(symbol, timeframe)
        times = _Times(timeframe, self._tz, self._epoch_unit)
        try:
            if file.suffix == ".parquet":
                return _read_parquet(file, times, self._ignored, start, end)
            stat = file.stat()
            key = (file, stat.st_mtime_ns, stat.st_size)
            table = self._cache.get(key)
            if table is None:
                table = _read_csv(file, times, self._ignored)
                self._cache.put(key, table)
        except _UnreadableError as error:
            raise ProviderBadDataError(f"{file}{error.at}: {error}", provider=self.name, symbol=symbol) from None
        except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            raise ProviderBadDataError(
                f"{file} cannot be read as {_split(file.name)[1]}: {error}", provider=self.name, symbol=symbol
            ) from error
        return table


class _UnreadableError(Exception):
    """A file cannot be read: why, and where, as far as known (``row`` counts from 0 and skips blank lines)."""

    def __init__(self, why: str, *, row: int | None = None, line: int | None = None) -> None:
        super().__init__(why)
        self.row = row
        self.at = "" if line is None else f", line {line}"


class _Cache:
    """The files read last, up to a number of rows; ingestion asks for the same file window by window."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._tables: OrderedDict[tuple[Path, int, int], pa.Table] = OrderedDict()
        self._lock = Lock()

    def get(self, key: tuple[Path, int, int]) -> pa.Table | None:
        with self._lock:
            if key in self._tables:
                self._tables.move_to_end(key)
            return self._tables.get(key)

    def put(self, key: tuple[Path, int, int], table: pa.Table) -> None:
        with self._lock:
            for stale in [other for other in self._tables if other[0] == key[0]]:
                del self._tables[stale]
            self._tables[key] = table
            # The newest stays even where it alone is too big: reading it again for every window would cost far more.
            while len(self._tables) > 1 and sum(held.num_rows for held in self._tables.values()) > self._rows:
                self._tables.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Times:
    """How a file's times become ``ts``."""

    timeframe: Timeframe
    tz: str | None
    epoch_unit: EpochUnit | None

    def csv_type(self, first: str) -> pa.DataType:
        """Return the type as which to read a column of times that begins with ``first``."""
        if _EPOCH.fullmatch(first):
            return pa.int64()
        if not self.timeframe.is_intraday:
            return pa.string()  # the local date is what counts, and an instant has lost it
        unit = "ns" if _FINER_THAN_US.search(first) else "us"
        return pa.timestamp(unit, tz="UTC" if _ZONED.search(first) else None)

    def utc(self, times: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return ``ts`` for dates, timestamps, epoch integers or (for days) ISO 8601 text."""
        if not len(times):
            return pa.chunked_array([], TS)
        _refuse(pc.is_null(times), lambda _: "the time is blank", times)
        if pa.types.is_string(times.type) and not self.timeframe.is_intraday:
            return _label_text(times)
        if pa.types.is_integer(times.type):
            times = self._from_epoch(times.cast(pa.int64()))
        elif pa.types.is_date(times.type) and not self.timeframe.is_intraday:
            times = times.cast(pa.timestamp("ms"))
        elif not pa.types.is_timestamp(times.type):
            raise _UnreadableError(f"a column of type {times.type} does not hold the times of {self.timeframe} bars")
        if not self.timeframe.is_intraday:
            return _label(times)
        per_us = _PER_SECOND[times.type.unit] // 1_000_000 or 1
        finer = pc.not_equal(_remainder(times.cast(pa.int64()), per_us), 0)
        _refuse(finer, lambda seen: f"the time {seen} is finer than a microsecond", times)
        return (times if times.type.tz else self._localize(times)).cast(TS)

    def bound(self, moment: int, kind: pa.DataType) -> pa.Scalar | None:
        """Return ``moment`` (µs) as a value of a column of type ``kind``, to filter by; None where it cannot be."""
        seconds = moment // 1_000_000
        if pa.types.is_date(kind):
            return pa.scalar(seconds // _DAY, pa.int32()).cast(pa.date32())
        unit = kind.unit if pa.types.is_timestamp(kind) else self.epoch_unit
        if unit is None:
            return None
        number = int(np.clip(seconds, -(2**63) // _PER_SECOND[unit] + 1, 2**63 // _PER_SECOND[unit] - 1))
        scalar = pa.scalar(number * _PER_SECOND[unit], pa.int64())
        return scalar.cast(kind) if pa.types.is_timestamp(kind) else scalar

    def _from_epoch(self, times: pa.ChunkedArray) -> pa.ChunkedArray:
        unit = self.epoch_unit
        if unit is None:
            raise _UnreadableError(
                f"the time {times[0]} is a number; say with epoch_unit (s, ms, us or ns) what it counts since 1970",
                row=0,
            )
        per = _PER_SECOND[unit]
        low, high = (max(-(2**63), min(limit * per, 2**63 - 1)) for limit in (_YEAR_1, _YEAR_10000))
        impossible = pc.or_(pc.less(times, low), pc.greater_equal(times, high))
        _refuse(
            impossible,
            lambda seen: f"the time {seen} in {unit} is not within the years 1 to 9999; is epoch_unit right?",
            times,
        )
        return times.cast(pa.timestamp(unit, tz="UTC"))

    def _localize(self, times: pa.ChunkedArray) -> pa.ChunkedArray:
        if self.tz is None:
            raise _UnreadableError(
                f"the time {times[0].as_py()} has no zone; say which with --tz, for example --tz America/New_York",
                row=0,
            )
        earliest = pc.assume_timezone(times, self.tz, ambiguous="earliest", nonexistent="earliest")
        latest = pc.assume_timezone(times, self.tz, ambiguous="latest", nonexistent="latest")
        # A time that was skipped has its neighbours on both sides, one tick apart; one that came twice, an hour.
        gap = pc.subtract(latest.cast(pa.int64()), earliest.cast(pa.int64()))
        skipped, twice = pc.equal(gap, 1), pc.greater(gap, 1)
        _refuse(skipped, lambda seen: f"the time {seen} does not exist in {self.tz}: the clocks skipped it", times)
        _refuse(twice, lambda seen: f"the time {seen} came twice in {self.tz}: write its offset from UTC", times)
        return earliest


def _label(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the local dates, as 00:00 UTC, of timestamps that must be midnight in their own zone."""
    local = pc.local_timestamp(times) if times.type.tz else times
    since_midnight = _remainder(local.cast(pa.int64()), _DAY * _PER_SECOND[times.type.unit])
    _refuse(pc.not_equal(since_midnight, 0), _not_a_day, times)
    return local.cast(pa.timestamp("us")).cast(TS)


def _label_text(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the dates, as 00:00 UTC, of ISO 8601 dates or local midnights."""
    clock = pc.utf8_slice_codeunits(times, 10)
    others = [text for text in pc.unique(clock).to_pylist() if not _MIDNIGHT.fullmatch(text)]
    _refuse(pc.is_in(clock, value_set=pa.array(others, pa.string())), _not_a_day, times)
    days = pc.utf8_slice_codeunits(times, 0, 10)
    try:
        return days.cast(pa.date32()).cast(pa.timestamp("us")).cast(TS)
    except pa.ArrowInvalid:
        _refuse(pa.array(not _reads_as(day, pa.date32()) for day in days.to_pylist()), _not_a_day, times)
        raise


def _not_a_day(seen: object) -> str:
    return (
        f"the time {seen} is neither a session date (2024-01-31) nor midnight in its own zone, as a bar of a day needs"
    )


def _remainder(numbers: pa.ChunkedArray, divisor: int) -> pa.ChunkedArray:
    return pc.subtract(numbers, pc.multiply(pc.divide(numbers, divisor), divisor))


def _refuse(bad: pa.ChunkedArray, why: Callable[[object], str], values: pa.ChunkedArray) -> None:
    """Raise for the first row that is ``bad``, if any; ``why`` turns its value into the reason."""
    row = pc.index(bad, pa.scalar(value=True)).as_py()
    if row >= 0:
        raise _UnreadableError(why(values[row].as_py()), row=row)


def _read_csv(file: Path, times: _Times, ignored: frozenset[str]) -> pa.Table:
    """Return the bars of a CSV file (plain or gzip), oldest first."""
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
    except _UnreadableError as error:
        if error.row is None:
            raise
        line = next(line for row, (line, _) in enumerate(_csv_rows(file), start=-1) if row == error.row)
        raise _UnreadableError(str(error), line=line) from None


def _find_bad_cell(file: Path, names: Sequence[str], types: dict[str, pa.DataType]) -> None:
    """Raise for the first cell that cannot be read as its column's type: slow, for Arrow names no line."""
    rows = _csv_rows(file)
    next(rows)
    for line, row in rows:
        if len(row) != len(names):
            raise _UnreadableError(f"{len(row)} cells where the header has {len(names)}", line=line)
        for name, cell in zip(names, row, strict=True):
            if name == "ts" and not _reads_as(cell, types[name]):
                zone = (
                    ""
                    if not pa.types.is_timestamp(types[name])
                    else " with a zone"
                    if types[name].tz
                    else " without a zone"
                )
                what = "integer" if pa.types.is_integer(types[name]) else "ISO 8601 time"
                raise _UnreadableError(f"the time {cell!r} is not an {what}{zone}, as the first row's is", line=line)
            if name in types and name != "ts" and cell not in _BLANK and not _NUMBER.fullmatch(cell):
                raise _UnreadableError(f"{name} {cell!r} is not a number", line=line)


def _csv_rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not blank, the header first, with its line number."""
    with TextIOWrapper(pa.input_stream(file), encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines)
        for row in reader:
            if row:
                yield reader.line_num, row


def _reads_as(text: str, kind: pa.DataType) -> bool:
    try:
        pa.scalar(text).cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _read_parquet(file: Path, times: _Times, ignored: frozenset[str], start: int | None, end: int | None) -> pa.Table:
    """Return the bars of a Parquet file near ``[start, end)`` (µs), oldest first; all of them without a range."""
    schema = pq.read_schema(file)
    columns = {name: schema.names[place] for name, place in _columns(schema.names, ignored).items()}
    ts = pc.field(columns["ts"])
    near = None
    if start is not None and end is not None:
        # Local times and dates are up to a day from UTC, so the exact cut is made later.
        kind = schema.field(columns["ts"]).type
        first, last = times.bound(start - 2 * _DAY * 1_000_000, kind), times.bound(end + 2 * _DAY * 1_000_000, kind)
        if first is not None and last is not None:
            near = ts.is_null() | ((ts >= first) & (ts < last))
    table = pq.read_table(file, columns=list(columns.values()), filters=near, partitioning=None)
    table = table.select(list(columns.values())).rename_columns(list(columns))
    return _oldest_first(table, times.utc(table["ts"]))


def _columns(header: Sequence[str], ignored: frozenset[str]) -> dict[str, int]:
    """Return where each canonical column stands; raise for columns that are unknown, missing or there twice."""
    wanted = [(place, name) for place, name in enumerate(header) if _plain(name) not in ignored]
    unknown = [name for _, name in wanted if _plain(name) not in _CANONICAL]
    found = {_CANONICAL[_plain(name)]: place for place, name in wanted if _plain(name) in _CANONICAL}
    missing = [name for name in ALIASES if name not in found and name not in _OPTIONAL]
    again = [name for place, name in wanted if place not in found.values() and name not in unknown]
    problems = {"unknown": unknown, "missing": missing, "of the same meaning as another": again}
    if any(problems.values()):
        seen = "; ".join(f"{what}: {', '.join(names)}" for what, names in problems.items() if names)
        allowed = ", ".join("/".join(aliases) for aliases in ALIASES.values())
        raise _UnreadableError(
            f"columns {seen}; allowed, in any case: {allowed} (vwap and trades are optional); "
            "columns to drop can be named with ignore_columns"
        )
    return found


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
            raise _UnreadableError(f"column {name} cannot be read as numbers: {error}") from None
        if pc.any(pc.is_nan(values)).as_py():
            values = pc.if_else(pc.is_nan(values), None, values)
        if name == "trades":
            uncountable = pc.or_(pc.not_equal(pc.floor(values), values), pc.greater(pc.abs(values), 2**31 - 1))
            _refuse(uncountable, lambda seen: f"trades {seen} is not a 32-bit whole number", values)
        columns[name] = values.cast(BARS.field(name).type)
    bars = pa.table(columns).combine_chunks()
    stamps = _stamps(bars)
    return bars if (stamps[1:] >= stamps[:-1]).all() else bars.take(np.argsort(stamps, kind="stable"))


def _between(bars: pa.Table, start: int, end: int) -> pa.Table:
    first, last = np.searchsorted(_stamps(bars), [start, end])
    return bars.slice(first, max(0, last - first))


def _stamps(bars: pa.Table) -> Int64s:
    return np.asarray(bars["ts"].cast(pa.int64()).to_numpy(), dtype=np.int64)


def _with_names(served: dict[str, pa.Table], source: str) -> pa.Table:
    """Return one table of schema ``BARS``."""
    if not served:
        return empty_bars()
    bars = pa.concat_tables(served.values()).combine_chunks()
    codes = np.repeat(np.arange(len(served), dtype=np.int32), [part.num_rows for part in served.values()])
    names = pa.DictionaryArray.from_arrays(codes, pa.array(served, pa.string()))
    sources = pa.DictionaryArray.from_arrays(np.zeros_like(codes), pa.array([source]))
    return bars.append_column("symbol", names).append_column("source", sources).select(BARS.names)


def _plain(column: str) -> str:
    return column.strip().lower()


def _split(filename: str) -> tuple[str, str]:
    """Return a file's stem and suffix; the suffix is empty where the file is not one of ours."""
    suffix = next((suffix for suffix in SUFFIXES if filename.endswith(suffix)), "")
    return filename.removesuffix(suffix), suffix
