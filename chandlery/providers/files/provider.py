"""Bars from a person's own files: ``DIR/bars_<tf>/<SYMBOL>.csv`` and its kin, ``/`` in a symbol written ``-``.

Here is what a request gets of the files of a symbol. Not here: which files those are (``folder``), what stands in a
file (``reader``), whether a bar makes sense (the gate), and writing files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from chandlery.config.yaml_document import key_path, list_problems
from chandlery.core.calendars import microseconds
from chandlery.core.symbols import spelling
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.errors import ConfigurationError, ProviderBadDataError, ProviderError, ProviderNotFoundError, UsageError
from chandlery.providers.base import (
    BarReply,
    BarRequest,
    Held,
    ProviderKind,
    ProviderLimits,
    ProviderSetup,
    source_name,
)
from chandlery.providers.files.account import (
    Account,
    extent_of,
    is_no_symbol,
    matching,
    named_from,
    not_read,
    of_others,
    with_names,
)
from chandlery.providers.files.bars import oldest_first
from chandlery.providers.files.choice import choose, passed_over
from chandlery.providers.files.folder import NOT_READ, Folder, Holding
from chandlery.providers.files.held import FileReader, state_of
from chandlery.providers.files.layout import Layout
from chandlery.providers.files.naming import split_name
from chandlery.providers.files.options import FilesOptions, layout_of, names_a_pattern
from chandlery.providers.files.reader import is_parquet
from chandlery.providers.files.strays import Known, Reach, reach_of, span_of

_KIND = "files"


class FilesProvider:
    """Serves ``1m`` and ``1d`` from files.

    Args:
        path: folder that holds ``bars_1m`` and ``bars_1d``, or one file.
        name: its own name, as configured.
        calendars: name of the calendar by symbol, to find the session of a day that is stamped as an instant.
        tickers: other names by symbol, after which its files may be called.
        options: fields of ``FilesOptions``: how the files are written.

    Attributes:
        name: as above.
        source: of its rows.

    Raises:
        UsageError: an option is not known or wrong.
    """

    timeframes = frozenset(INGESTED)
    limits = ProviderLimits()

    def __init__(
        self,
        path: Path,
        *,
        name: str = _KIND,
        calendars: Mapping[str, str] | None = None,
        tickers: Mapping[str, Sequence[str]] | None = None,
        **options: Any,  # noqa: ANN401 - they are validated
    ) -> None:
        self.name = name
        self.source = source_name(_KIND, name)
        try:
            given = FilesOptions.model_validate(options)
        except ValidationError as error:
            text = "; ".join(f"{key_path(at)}: {what}" for at, what in list_problems(error))
            raise UsageError(text) from None
        self._path = Path(path).expanduser()
        self._layout: Layout = layout_of(given)
        self._strict = names_a_pattern(given)
        self._files = FileReader(self._layout, name, calendars or {})
        self._tickers = tickers or {}
        self._registered = frozenset(map(spelling, calendars or ()))
        self._asked = given.asked
        self._notes: dict[tuple[str, Timeframe], list[str]] = {}
        self._known: dict[tuple[str, Timeframe], Known] = {}
        self._owner: str | None = None
        self._scans: dict[Timeframe, tuple[int, Mapping[str, Holding]]] = {}

    def symbols(self, timeframe: Timeframe) -> list[str]:
        """Return the symbols that the files hold, as their names or the files themselves write them, sorted.

        What is called like a file and is none, such as a folder or a pipe, is among them: to fetch it says so.

        Raises:
            ConfigurationError: there is no such folder.
        """
        found: dict[str, None] = {}
        for holding in self._holdings(timeframe).values():
            inside = [] if holding.problem else self._files.inside(holding)
            several = len(inside) > 1 or not holding.symbol or is_no_symbol(holding, inside, self._registered)
            found |= dict.fromkeys(inside if several else [holding.symbol])
        if not found and (others := self._folder(timeframe).of_other_widths()):
            raise ConfigurationError(others)
        return sorted(symbol for symbol in found if symbol)

    def fetch(self, request: BarRequest) -> BarReply:
        """Return the bars that start in ``[start, end)``; a symbol without a readable file is among the failures.

        Raises:
            ConfigurationError: there is no folder for the timeframe.
        """
        start, end = microseconds(request.start), microseconds(request.end)
        self._folder(request.timeframe).root  # noqa: B018 - raises where there is none
        served: dict[str, pa.Table] = {}
        files: dict[str, str] = {}
        held: dict[str, Held] = {}
        failures: dict[str, ProviderError] = {}
        for symbol in dict.fromkeys(request.symbols):
            try:
                account, reach = self._near(symbol, request.timeframe, start, end)
                served[symbol] = account.bars if reach is None else reach.serve(account.bars, start, end)
                more = f" and {len(account.files) - 1} more" if len(account.files) > 1 else ""
                files[symbol] = f"{account.files[0].absolute()}{more}"
                held[symbol] = Held(self.source, account.extents)
            except ProviderError as error:
                failures[symbol] = error
        return BarReply(with_names(served, self.source), failures, files, held)

    def span(self, symbol: str, timeframe: Timeframe) -> tuple[datetime, datetime]:
        """Return ``[first bar's start, last bar's end)`` in UTC, without strays (``strays``).

        Raises:
            ConfigurationError: there is no folder for the timeframe.
            ProviderNotFoundError: there is no file for the symbol.
            ProviderBadDataError: the file cannot be read, or holds no bars.
        """
        return span_of(self.describe(symbol, timeframe).bars, timeframe)

    def describe(self, symbol: str, timeframe: Timeframe) -> Account:
        """Return how the files of ``symbol`` are read, with all of their bars; raises like ``span``."""
        return self._account(self._find(symbol, timeframe), symbol, timeframe)

    def notes(self, symbol: str, timeframe: Timeframe) -> list[str]:
        """Return what a person should know of how the files of ``symbol`` are read; raises like ``span``."""
        key = symbol, timeframe
        if key not in self._notes:
            self.describe(symbol, timeframe)
        skipped = self._folder(timeframe).unread() if key == next(iter(self._notes)) else []  # said once
        return [*self._notes[key], *(f"{name} lies beside it, {NOT_READ}" for name in skipped[:5])]

    def _folder(self, timeframe: Timeframe) -> Folder:
        if timeframe not in self.timeframes:
            allowed = " ".join(INGESTED)
            raise UsageError(f"timeframe={timeframe.value!r} is derived, not read from files; allowed: {allowed}")
        patterns, others = self._layout.patterns(timeframe), self._layout.other_patterns(timeframe)
        return Folder(self._path, timeframe, patterns, plain_names=not self._strict, others=others)

    def _holdings(self, timeframe: Timeframe, *, fresh: bool = False) -> Mapping[str, Holding]:
        """Return what the folder holds; it is looked through again where it changed."""
        folder = self._folder(timeframe)
        changed = folder.root.stat().st_mtime_ns
        seen, holdings = self._scans.get(timeframe, (None, {}))
        if fresh or seen != changed:
            holdings = self._by_symbol(folder.holdings())
            self._scans[timeframe] = changed, holdings
        return holdings

    def _by_symbol(self, holdings: Mapping[str, Holding]) -> Mapping[str, Holding]:
        """Name files after their symbol where neither a preset's pattern nor they themselves name any."""
        nameless = holdings.get("")
        if nameless is None or self._strict:
            return holdings
        plain = [file for file in nameless.files if not self._files.names_symbols(file)]
        rest = [file for file in nameless.files if file not in plain]
        named = {spelling(split_name(file.name)[0]): Holding(split_name(file.name)[0], [file]) for file in plain}
        return named | dict(holdings) | {"": Holding("", rest)}

    def _find(self, symbol: str, timeframe: Timeframe) -> Holding:
        """Return the files that hold ``symbol`` under any of its names, by their names or by what stands in them."""
        keys = self._spellings(symbol)
        if self._folder(timeframe).is_one_file and not self._files.names_symbols(self._path):
            return self._take_file(symbol)  # whatever it is called
        asked = self._asked.get(symbol)
        holding = choose(symbol, asked, keys, self._holdings(timeframe))
        holding = holding or choose(symbol, asked, keys, self._holdings(timeframe, fresh=True))
        if holding is None:
            files = [
                file
                for other in self._holdings(timeframe).values()
                if not other.problem and not keys.keys().isdisjoint(map(spelling, self._files.inside(other)))
                for file in other.files
            ]
            if not files:
                text = self._folder(timeframe).none_of(symbol)
                raise ProviderNotFoundError(text, provider=self.name, symbol=symbol)
            holding = Holding(symbol, files)
        if holding.problem:
            raise ProviderBadDataError(holding.problem, provider=self.name, symbol=symbol)
        return holding

    def _take_file(self, symbol: str) -> Holding:
        """Return the only file, which is of one symbol."""
        self._owner = self._owner or symbol
        if self._owner != symbol:
            text = f"{self._path} is a file of one symbol, and {self._owner} has it; give a folder for several"
            raise ProviderBadDataError(text, provider=self.name, symbol=symbol)
        return Holding(symbol, [self._path])

    def _spellings(self, symbol: str) -> dict[str, None]:
        """Return how the names of ``symbol`` are compared, the present one first."""
        return dict.fromkeys(map(spelling, (symbol, *self._tickers.get(symbol, ()))))

    def _near(self, symbol: str, timeframe: Timeframe, start: int, end: int) -> tuple[Account, Reach | None]:
        """Return the bars of ``symbol`` near ``[start, end)`` at least, and how far all reach; None where none are.

        Parquet is read whole once, which tells its extents and reach, and by the part where the whole is not kept.
        """
        holding = self._find(symbol, timeframe)
        if not any(map(is_parquet, holding.files)):
            account = self._account(holding, symbol, timeframe, start, end)
            return account, reach_of(account.bars) if account.bars.num_rows else None
        try:
            state = list(map(state_of, holding.files))
        except OSError:  # to read it says what is wrong
            state = []
        known = self._known.get((symbol, timeframe))
        if known is None or known.state != state:
            account = self._account(holding, symbol, timeframe)
            known = self._known[symbol, timeframe] = Known(state, account.extents, reach_of(account.bars))
            return account, known.reach
        account = self._account(holding, symbol, timeframe, start, end)
        return replace(account, extents=known.extents), known.reach

    def _account(
        self, holding: Holding, symbol: str, timeframe: Timeframe, start: int | None = None, end: int | None = None
    ) -> Account:
        """Return the bars of ``symbol`` oldest first; of Parquet maybe only those near ``[start, end)``, if given."""
        tables = []
        extents: list[tuple[datetime, datetime]] = []
        for file in holding.files:
            read = self._files.read(file, symbol, timeframe, start=start, end=end)
            inside = matching(read, self._spellings(symbol))
            if inside is None and len(holding.files) > 1:
                continue
            if inside is None:
                raise ProviderBadDataError(f"{file}: {of_others(read, symbol)}", provider=self.name, symbol=symbol)
            tables.append(read.of(inside or None))
            extents += extent_of(tables[-1], timeframe)
        bars = oldest_first(pa.concat_tables(tables)) if len(tables) > 1 else tables[0]
        if start is None and not bars.num_rows:
            raise ProviderBadDataError(f"{holding.files[0]}: the file holds no bars", provider=self.name, symbol=symbol)
        notes = [*passed_over(holding, self._spellings(symbol), self._holdings(timeframe)), *not_read(holding)]
        self._notes[symbol, timeframe] = [*named_from(symbol, holding), *notes, *read.understood.notes]
        seen = read.understood
        return Account(holding.files, seen.form, seen.columns, seen.first_time, self._layout.tz, bars, extents)


def _make(setup: ProviderSetup[FilesOptions]) -> FilesProvider:
    options = setup.options
    if options.path is None:
        raise ConfigurationError(
            f"provider {setup.name!r} has no folder; give --path DIR or set its option path in providers.yaml"
        )
    given = {name: getattr(options, name) for name in options.model_fields_set if name != "path"}
    return FilesProvider(options.path, name=setup.name, calendars=setup.calendars, tickers=setup.tickers, **given)


KIND = ProviderKind(
    name=_KIND,
    factory=_make,
    options=FilesOptions,
    run_options=frozenset(FilesOptions.model_fields),
    limits=FilesProvider.limits,
    static=True,
)
