"""Reads files for a provider: what is wrong with one is its error, and what was read last is kept.

Not here: what stands in a file (``reader``), and which files hold a symbol (``folder``).
"""

from __future__ import annotations

import csv
import lzma
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock

import pyarrow as pa

from chandlery.core.timeframe import Timeframe
from chandlery.errors import ProviderBadDataError
from chandlery.providers.files.assembly import FileBars
from chandlery.providers.files.bars import stamps_of
from chandlery.providers.files.fields import fields_beside, read_fields, symbols_of_fields
from chandlery.providers.files.folder import Holding, nature
from chandlery.providers.files.layout import Layout
from chandlery.providers.files.naming import split_name
from chandlery.providers.files.reader import is_parquet, names_symbols, read_parquet_file, read_text_file, symbols_in
from chandlery.providers.files.times import Times
from chandlery.providers.files.unreadable import UnreadableError
from chandlery.providers.files.widths import check_width

_CACHED_ROWS = 5_000_000
#: What a damaged file, or one that is none, makes the readers raise.
_DAMAGED = (
    pa.ArrowException,
    OSError,
    EOFError,
    UnicodeDecodeError,
    csv.Error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)


class Cache:
    """The files read last, up to a number of rows; ingestion requests the same file window by window."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._held: OrderedDict[tuple[Hashable, ...], FileBars] = OrderedDict()
        self._lock = Lock()

    def get(self, key: tuple[Hashable, ...]) -> FileBars | None:
        """Return what was read of a file in this state; the first of ``key`` is the file."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def fits(self, bars: FileBars) -> bool:
        """Whether what was read is no more than all that is kept."""
        return len(bars.bars["ts"]) <= self._rows

    def put(self, key: tuple[Hashable, ...], bars: FileBars) -> None:
        """Keep what was read, and let go of earlier states of the file, and of the files used longest ago."""
        with self._lock:
            for stale in [cached for cached in self._held if cached[0] == key[0] and cached[1:3] != key[1:3]]:
                del self._held[stale]
            self._held[key] = bars
            # The newest stays even where it alone is too big: reading it again for every window would cost far more.
            while len(self._held) > 1 and sum(held.bars.num_rows for held in self._held.values()) > self._rows:
                self._held.popitem(last=False)


class FileReader:
    """Reads the files of one provider.

    Args:
        layout: how they are written.
        provider: its name, for errors.
        calendars: name of the calendar by symbol.
    """

    def __init__(self, layout: Layout, provider: str, calendars: Mapping[str, str]) -> None:
        self._layout = layout
        self._provider = provider
        self._calendars = calendars
        self.cache = Cache(_CACHED_ROWS)

    def read(
        self, file: Path, symbol: str, timeframe: Timeframe, *, start: int | None = None, end: int | None = None
    ) -> FileBars:
        """Return what stands in a file; of Parquet maybe only what is near ``[start, end)`` (µs), where given.

        Raises:
            ProviderBadDataError: it cannot be read; names file, line and why.
        """
        calendar = None if timeframe.is_intraday else self._calendars.get(symbol)
        layout = self._layout
        times = Times(timeframe, layout.tz, layout.epoch_unit, layout.date_format, layout.label, calendar)
        if not file.is_file():
            raise self._error(f"{file} is {nature(file)}, not a file", symbol)
        try:
            fields = fields_beside(file)
            key = (*state_of(file), *map(state_of, fields.values()), calendar, timeframe)
            held = self.cache.get(key)
            if held is None:
                parquet = is_parquet(file)
                if fields:
                    held = read_fields(fields, times, layout)
                elif parquet:
                    held = read_parquet_file(file, times, layout, start, end)
                else:
                    held = read_text_file(file, times, layout)
                check_width(stamps_of(held.bars), timeframe)
                # Of Parquet a part is read as fast, so that a whole is kept only where it is small.
                if not parquet or (start is None and self.cache.fits(held)):
                    self.cache.put(key, held)
        except UnreadableError as error:
            raise self._error(f"{file}{error.at}: {error}", symbol) from None
        except _DAMAGED as error:
            raise self._error(f"{file} cannot be read as {split_name(file.name)[1]}: {error}", symbol) from error
        return held

    def names_symbols(self, file: Path) -> bool:
        """Whether a file names the symbols of its bars itself; not where it cannot be read."""
        try:
            return file.is_file() and (bool(fields_beside(file)) or names_symbols(file, self._layout))
        except (UnreadableError, *_DAMAGED):  # who reads the file is told
            return False

    def inside(self, holding: Holding) -> list[str]:
        """Return the symbols that files name themselves, sorted; none where they do not, or cannot be read."""
        found: dict[str, None] = {}
        for file in holding.files:
            if self.names_symbols(file):
                with suppress(UnreadableError, *_DAMAGED):
                    fields = fields_beside(file)
                    inside = symbols_of_fields(fields, self._layout) if fields else symbols_in(file, self._layout)
                    found |= dict.fromkeys(inside)
        return sorted(found)

    def _error(self, text: str, symbol: str) -> ProviderBadDataError:
        return ProviderBadDataError(text, provider=self._provider, symbol=symbol)


def state_of(file: Path) -> tuple[Path, int, int]:
    """Return a file with the time of its last change and its size: where these are the same, so is what it holds."""
    state = file.stat()
    return file, state.st_mtime_ns, state.st_size
