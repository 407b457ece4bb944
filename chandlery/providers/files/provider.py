"""Bars from a person's own files: ``DIR/bars_<tf>/<SYMBOL>.{csv,csv.gz,parquet}``, ``/`` in a symbol written ``-``.

Here is which file holds a symbol, and what of it is kept for the next request. Not here: what stands in a file
(``reader``), whether a bar makes sense (the gate), and writing files.
"""

from __future__ import annotations

import csv
import os
import stat
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa
from pydantic import field_validator

from chandlery.config.yaml_document import Section
from chandlery.core.calendars import microseconds
from chandlery.core.schema import BARS, TS, empty_bars
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.errors import ConfigurationError, ProviderBadDataError, ProviderError, ProviderNotFoundError, UsageError
from chandlery.providers.base import BarReply, BarRequest, ProviderKind, ProviderLimits, ProviderSetup, source_name
from chandlery.providers.files.reader import plain, read_csv, read_parquet, stamps_of
from chandlery.providers.files.times import EpochUnit, Times, UnreadableError

SUFFIXES = (".csv", ".csv.gz", ".parquet")
_CACHED_ROWS = 5_000_000
_KIND = "files"
#: The last instant that a ``datetime`` can be.
_LAST = datetime.max.replace(tzinfo=UTC)


class FilesOptions(Section):
    """The options of kind ``files``.

    Attributes:
        path: the folder that holds ``bars_1m`` and ``bars_1d``.
        tz: IANA zone of times that carry none.
        epoch_unit: what integer times count since 1970-01-01 UTC.
        ignore_columns: columns to drop, in any case.
    """

    path: Path | None = None
    tz: str | None = None
    epoch_unit: EpochUnit | None = None
    ignore_columns: tuple[str, ...] = ()

    @field_validator("tz")
    @classmethod
    def _zone_exists(cls, value: str | None) -> str | None:
        try:
            return value and ZoneInfo(value).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{value!r} is not an IANA time zone; write one like UTC or America/New_York") from None


class FilesProvider:
    """Serves ``1m`` and ``1d`` from files.

    Args:
        path: folder that holds ``bars_1m`` and ``bars_1d``.
        tz: IANA zone of times that carry none, such as ``America/New_York``.
        epoch_unit: what integer times count since 1970-01-01 UTC.
        ignore_columns: columns to drop, in any case, such as ``Adj Close``.
        name: its own name, as configured.

    Attributes:
        name: as above.
        source: of its rows.

    Raises:
        UsageError: ``tz`` or ``epoch_unit`` is not known.
    """

    timeframes = frozenset(INGESTED)
    limits = ProviderLimits()

    def __init__(
        self,
        path: Path,
        *,
        tz: str | None = None,
        epoch_unit: EpochUnit | None = None,
        ignore_columns: Sequence[str] = (),
        name: str = _KIND,
    ) -> None:
        self.name = name
        self.source = source_name(_KIND, name)
        if epoch_unit is not None and epoch_unit not in get_args(EpochUnit):
            raise UsageError(f"epoch_unit={epoch_unit!r} is not known; allowed: {' '.join(get_args(EpochUnit))}")
        if tz is not None:
            try:
                ZoneInfo(tz)
            except (ValueError, OSError, LookupError):
                raise UsageError(f"tz={tz!r} is not an IANA time zone such as America/New_York or UTC") from None
        self._path = Path(path).expanduser()
        self._tz = tz
        self._epoch_unit = epoch_unit
        self._ignored = frozenset(plain(column) for column in ignore_columns)
        self._cache = _Cache(_CACHED_ROWS)

    def symbols(self, timeframe: Timeframe) -> list[str]:
        """Return the names of the files held for ``timeframe``, sorted; ``BTC/USD`` shows as ``BTC-USD``.

        What is called like a file and is none, such as a folder or a pipe, is among them: to fetch it says so.

        Raises:
            ConfigurationError: there is no such folder.
        """
        names = (_split(entry.name) for entry in self._folder(timeframe).iterdir())
        return sorted({stem for stem, suffix in names if suffix and not stem.startswith(".")})

    def fetch(self, request: BarRequest) -> BarReply:
        """Return the bars that start in ``[start, end)``; a symbol without a readable file is among the failures.

        Raises:
            ConfigurationError: there is no folder for the timeframe.
        """
        start, end = microseconds(request.start), microseconds(request.end)
        self._folder(request.timeframe)
        served: dict[str, pa.Table] = {}
        files: dict[str, str] = {}
        failures: dict[str, ProviderError] = {}
        for symbol in dict.fromkeys(request.symbols):
            try:
                served[symbol] = _between(self._bars(symbol, request.timeframe, start, end), start, end)
                files[symbol] = str(self._file(symbol, request.timeframe).absolute())
            except ProviderError as error:
                failures[symbol] = error
        return BarReply(_with_names(served, self.source), failures, files)

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
        last = min(ts[-1].value + timeframe.microseconds, microseconds(_LAST))
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
        files = [file for suffix in SUFFIXES if os.path.lexists(file := stem.with_name(stem.name + suffix))]
        if not files:
            raise ProviderNotFoundError(
                f"no file for {symbol}: looked for {stem} with {', '.join(SUFFIXES)}", provider=self.name, symbol=symbol
            )
        if len(files) > 1:
            names = " and ".join(file.name for file in files)
            raise ProviderBadDataError(
                f"{files[0].parent} holds {names}; keep one of them", provider=self.name, symbol=symbol
            )
        if not files[0].is_file():
            raise ProviderBadDataError(
                f"{files[0]} is {_nature(files[0])}, not a file", provider=self.name, symbol=symbol
            )
        return files[0]

    def _bars(self, symbol: str, timeframe: Timeframe, start: int | None = None, end: int | None = None) -> pa.Table:
        """Return the file's bars oldest first; of Parquet only those near ``[start, end)``, where given."""
        file = self._file(symbol, timeframe)
        times = Times(timeframe, self._tz, self._epoch_unit)
        try:
            if file.suffix == ".parquet":
                return read_parquet(file, times, self._ignored, start, end)
            state = file.stat()
            key = (file, state.st_mtime_ns, state.st_size)
            table = self._cache.get(key)
            if table is None:
                table = read_csv(file, times, self._ignored)
                self._cache.put(key, table)
        except UnreadableError as error:
            raise ProviderBadDataError(f"{file}{error.at}: {error}", provider=self.name, symbol=symbol) from None
        except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            raise ProviderBadDataError(
                f"{file} cannot be read as {_split(file.name)[1]}: {error}", provider=self.name, symbol=symbol
            ) from error
        return table


def _nature(place: Path) -> str:
    """Return what stands where a file should."""
    try:
        mode = place.stat().st_mode
    except OSError:
        return "a link that leads nowhere"
    natures = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return natures.get(stat.S_IFMT(mode), "a device")


class _Cache:
    """The files read last, up to a number of rows; ingestion requests the same file window by window."""

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
            for stale in [cached for cached in self._tables if cached[0] == key[0]]:
                del self._tables[stale]
            self._tables[key] = table
            # The newest stays even where it alone is too big: reading it again for every window would cost far more.
            while len(self._tables) > 1 and sum(held.num_rows for held in self._tables.values()) > self._rows:
                self._tables.popitem(last=False)


def _between(bars: pa.Table, start: int, end: int) -> pa.Table:
    first, last = np.searchsorted(stamps_of(bars), [start, end])
    return bars.slice(first, max(0, last - first))


def _with_names(served: dict[str, pa.Table], source: str) -> pa.Table:
    """Return one table of schema ``BARS``."""
    if not served:
        return empty_bars()
    bars = pa.concat_tables(served.values()).combine_chunks()
    codes = np.repeat(np.arange(len(served), dtype=np.int32), [part.num_rows for part in served.values()])
    names = pa.DictionaryArray.from_arrays(codes, pa.array(served, pa.string()))
    sources = pa.DictionaryArray.from_arrays(np.zeros_like(codes), pa.array([source]))
    return bars.append_column("symbol", names).append_column("source", sources).select(BARS.names)


def _split(filename: str) -> tuple[str, str]:
    """Return a file's stem and suffix; the suffix is empty where the file is not one of ours."""
    suffix = next((suffix for suffix in SUFFIXES if filename.endswith(suffix)), "")
    return filename.removesuffix(suffix), suffix


def _make(setup: ProviderSetup[FilesOptions]) -> FilesProvider:
    options = setup.options
    if options.path is None:
        raise ConfigurationError(
            f"provider {setup.name!r} has no folder; give --path DIR or set its option path in providers.yaml"
        )
    return FilesProvider(
        options.path,
        tz=options.tz,
        epoch_unit=options.epoch_unit,
        ignore_columns=options.ignore_columns,
        name=setup.name,
    )


KIND = ProviderKind(
    name=_KIND,
    factory=_make,
    options=FilesOptions,
    run_options=frozenset(FilesOptions.model_fields),
    limits=FilesProvider.limits,
    static=True,
)
