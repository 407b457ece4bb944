"""Looks up what a request of a person leaves open: instruments, providers, ranges.

Not here: the request itself, and the plan that comes of it (``request``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import psycopg

from chandlery.config.universe import InstrumentConfig, Universe
from chandlery.core.calendars import get_calendar
from chandlery.core.moments import parse_moment
from chandlery.core.symbols import spelling
from chandlery.coverage.requested import whole_sessions
from chandlery.errors import (
    ChandleryError,
    ConfigurationError,
    ProviderAuthError,
    ProviderBadDataError,
    ProviderError,
    ProviderNotFoundError,
    UnknownSymbolError,
    UsageError,
)
from chandlery.ingest.corrected_guess import corrected_guess
from chandlery.ingest.spellings import by_spelling, spelled_otherwise
from chandlery.instruments.aliases import other_tickers, resolve
from chandlery.instruments.registry import Instrument, load_instruments
from chandlery.providers.base import Provider
from chandlery.providers.configured import ConfiguredProviders
from chandlery.tiers.warehouse import Warehouse

if TYPE_CHECKING:
    from chandlery.ingest.request import IngestRequest

_WEEK = timedelta(days=7)


class RequestPlanner:
    """Looks up what one request leaves open; see ``request.plan_ingest`` for the arguments.

    Attributes:
        refused: why symbols cannot be planned: they are new and their file cannot be read, or something else is wrong
            and nobody named them, because all of a provider were requested. Otherwise it is raised.
        notes: what a person should know of the files of a symbol.
        tickers: other names of the known instruments by symbol.
        options: of the provider: those of the request, and which names a person asked for where it takes these.
    """

    def __init__(
        self,
        request: IngestRequest,
        warehouse: Warehouse,
        universe: Universe,
        providers: ConfiguredProviders,
        now: datetime,
    ) -> None:
        self._request = request
        self._warehouse = warehouse
        self._universe = universe
        self._providers = providers
        self._now = now
        self._alone = True
        self.refused: dict[str, ChandleryError] = {}
        self.notes: dict[str, Sequence[str]] = {}
        self.tickers: dict[str, Sequence[str]] = {}
        self.options: dict[str, object] = dict(request.options)
        self._first = parse_moment(universe.history.first_day(request.timeframe), name="history")

    def everything(self) -> Sequence[str]:
        """Return all symbols that the provider holds."""
        if self._request.provider is None:
            raise UsageError("no symbol was given; name some, or give --symbols-file, --preset or --provider")
        with self._warehouse.connection() as connection:
            registered = load_instruments(connection)
        calendars = {symbol: instrument.calendar for symbol, instrument in registered.items()}
        provider = self._providers.build(self._request.provider, options=self.options, calendars=calendars, tickers={})
        symbols = getattr(provider, "symbols", None)
        if symbols is None:
            raise UsageError(f"provider {provider.name!r} cannot list what it has; name the symbols")
        held: list[str] = symbols(self._request.timeframe)
        if not held:
            raise UsageError(f"provider {provider.name!r} has no {self._request.timeframe.value} bars at all")
        # A file's name has ``-`` for ``/``, and any case: where BTC/USD is registered, btc-usd.csv is that.
        spelled = by_spelling(registered)
        alike = {name: spelled.get(spelling(name), []) for name in held}
        return [alike[name][0] if name not in registered and len(alike[name]) == 1 else name for name in held]

    def identify(
        self, connection: psycopg.Connection, symbols: Sequence[str]
    ) -> tuple[dict[str, Instrument], list[InstrumentConfig], dict[str, str]]:
        """Return the known instruments by symbol, descriptions of the new ones, and what tickers were resolved to."""
        known: dict[str, Instrument] = {}
        new: dict[str, InstrumentConfig] = {}
        resolved: dict[str, str] = {}
        start, end = self._request.start or self._first, self._request.end or self._now
        spelled = by_spelling(load_instruments(connection))
        for symbol in symbols:
            with self._refusing(symbol):
                try:
                    instrument = resolve(connection, symbol, start, end)
                except UnknownSymbolError:
                    if _was_an_alias(connection, symbol):
                        raise
                    alike = spelled_otherwise(symbol, spelled, by_spelling(new))
                    if alike is None:
                        new[symbol] = self._describe(symbol)
                        continue
                    resolved[symbol] = alike
                    if alike in new:
                        continue
                    instrument = resolve(connection, alike, start, end)
                corrected = corrected_guess(connection, instrument, self._request.calendar, self._request.asset_class)
                if corrected is None:
                    known[instrument.symbol] = instrument
                else:
                    new[instrument.symbol] = corrected
                if instrument.symbol != symbol:
                    resolved[symbol] = instrument.symbol
        self._note_names(resolved)
        return known, list(new.values()), resolved

    def _note_names(self, resolved: Mapping[str, str]) -> None:
        """Tell the provider by which names a person asked for instruments, where it takes that."""
        provider, names = self._request.provider, self._request.symbols
        if provider is not None and names and self._providers.takes(provider, "asked"):
            asked = {resolved.get(name, name): name for name in names}
            self.options["asked"] = asked | {name: name for name in names if name not in resolved}

    @contextmanager
    def _refusing(self, symbol: str) -> Iterator[None]:
        try:
            yield
        except UsageError as error:
            if self._request.symbols:
                raise
            self.refused[symbol] = error

    def ranges(
        self, known: Mapping[str, Instrument], new: Sequence[InstrumentConfig]
    ) -> dict[str, tuple[datetime, datetime]]:
        """Return the range to plan for each symbol that is not refused, half-open, UTC.

        Raises:
            UsageError: a symbol that was named is wrong, or all are.
        """
        found: dict[str, tuple[datetime, datetime]] = {}
        calendars = {symbol: instrument.calendar for symbol, instrument in known.items()}
        calendars |= {config.symbol: config.calendar for config in new}
        for symbol, provider in self.providers(known, new):
            with self._refusing(symbol):
                try:
                    found[symbol] = self.range_of(symbol, provider, calendars[symbol], is_new=symbol not in known)
                except (ProviderBadDataError, ProviderNotFoundError) as error:
                    self.refused[symbol] = error
        if not found:
            raise _all_of(self.refused)
        return found

    def providers(
        self, known: Mapping[str, Instrument], new: Sequence[InstrumentConfig]
    ) -> list[tuple[str, Provider | None]]:
        """Return each symbol with its provider; without one where that cannot be used, while others can."""
        names = {symbol: self._request.provider or instrument.provider for symbol, instrument in known.items()}
        names |= {config.symbol: self._request.provider or str(config.provider) for config in new}
        calendars = {symbol: instrument.calendar for symbol, instrument in known.items()}
        calendars |= {config.symbol: config.calendar for config in new}
        made = self._make(dict.fromkeys(names.values()), calendars)
        for name, provider in made.items():
            if provider is not None and self._request.timeframe not in provider.timeframes:
                has = " ".join(sorted(provider.timeframes))
                raise UsageError(f"provider {name!r} has no {self._request.timeframe.value} bars; it has: {has}")
        return [(symbol, made[name]) for symbol, name in names.items()]

    def _make(self, names: Iterable[str], calendars: Mapping[str, str]) -> dict[str, Provider | None]:
        """Return the providers by name; None for one that cannot be made, unless none can."""
        made: dict[str, Provider | None] = {}
        errors: list[ChandleryError] = []
        for name in names:
            try:
                made[name] = self._provider(name, calendars)
            except (ConfigurationError, ProviderError) as error:  # the run will say so, of this provider only
                made[name] = None
                errors.append(error)
        if errors and len(errors) == len(made):
            raise errors[0]
        self._alone = len(made) == 1
        return made

    def range_of(
        self, symbol: str, provider: Provider | None, calendar: str, *, is_new: bool = False
    ) -> tuple[datetime, datetime]:
        """Return the range to plan for one symbol: as requested or, by default, as far as its provider reaches.

        Raises:
            UsageError: the range is not one that can be ingested.
            ProviderBadDataError: the symbol is new, and its file cannot be read; also ``ProviderNotFoundError``.
        """
        request = self._request
        usual_start, usual_end = self._span(symbol, provider, calendar, is_new=is_new)
        start, end = request.start or usual_start, request.end or usual_end
        if start >= self._now:
            raise UsageError(f"{symbol}: its first bar starts on {start:%Y-%m-%d %H:%M}Z, which is yet to come")
        if start >= end and request.end is None:
            end = self._now
        elif start >= end:
            start = request.timeframe.window_of(end - timedelta(microseconds=1)).start
        if start < self._first:
            raise UsageError(
                f"{symbol}: the range begins on {start:%Y-%m-%d}, before history.{request.timeframe.value} ="
                f" {self._first:%Y-%m-%d} in universe.yaml; begin later with --start, or set it to an earlier day"
            )
        return start, min(end, self._now)

    def _span(
        self, symbol: str, provider: Provider | None, calendar: str, *, is_new: bool
    ) -> tuple[datetime, datetime]:
        """Return the range that the provider has of a symbol; a short one where the run will fail, to say so soon.

        Where it says how far it reaches, it has no more of the sessions in which its bars begin and end; they count
        as whole.
        """
        if provider is None:
            return self._request.timeframe.window_of(self._now).start, self._now
        try:
            span = provider.span(symbol, self._request.timeframe)
            self._note(symbol, provider)
            if span is None:
                return self._usual(provider)
            start, end = whole_sessions(get_calendar(calendar), self._request.timeframe, *span)
            return max(start, min(span[0], self._first)), end
        except (ProviderAuthError, ConfigurationError):
            if self._alone:
                raise
        except (ProviderBadDataError, ProviderNotFoundError):
            if is_new and not provider.limits.remote:  # what cannot be read registers nothing
                raise
        except ProviderError:
            pass
        return self._request.timeframe.window_of(self._now).start, self._now

    def _note(self, symbol: str, provider: Provider) -> None:
        notes = getattr(provider, "notes", None)
        if notes is not None:
            self.notes[symbol] = notes(symbol, self._request.timeframe)

    def _usual(self, provider: Provider) -> tuple[datetime, datetime]:
        """Return the range of a provider that does not know its own.

        Where bars cost calls or are invented without end, that is the last two whole weeks, and what came since where
        they are not invented; otherwise it goes back as far as the provider's history.
        """
        limits = provider.limits
        if limits.endless or limits.remote:
            last = min(self._request.end or self._now, self._now)
            midnight = last.replace(hour=0, minute=0, second=0, microsecond=0)
            monday = midnight - timedelta(days=midnight.weekday())
            return monday - 2 * _WEEK, monday if limits.endless and self._request.end is None else last
        depth = provider.limits.history_depth.get(self._request.timeframe)
        return max(self._first, self._now - depth) if depth else self._first, self._now

    def _provider(self, name: str, calendars: Mapping[str, str]) -> Provider:
        if calendars:
            with self._warehouse.connection() as connection:
                self.tickers |= other_tickers(connection, calendars)
        return self._providers.build(name, options=self.options, calendars=calendars, tickers=self.tickers)

    def _describe(self, symbol: str) -> InstrumentConfig:
        """Return what to register for a symbol that is new."""
        request = self._request
        config = self._universe.instrument(symbol, request.asset_class, request.calendar)
        if config.provider is not None:  # listed since the last `chandlery init`
            return config
        if request.provider is None:
            raise UsageError(
                f"symbol {symbol!r} is not known; name its provider with --provider, or add it to universe.yaml"
            )
        get_calendar(config.calendar)
        return config.model_copy(update={"provider": request.provider, "timeframes": (request.timeframe,)})


def _all_of(refused: Mapping[str, ChandleryError]) -> ChandleryError:
    """Return one error for all that was refused, of which nothing is left."""
    first, *others = refused.values()
    if others:
        first.args = ("\n".join(map(str, (first, *others))),)
    return first


def _was_an_alias(connection: psycopg.Connection, ticker: str) -> bool:
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM market.symbol_alias WHERE ticker = %(ticker)s)", {"ticker": ticker}
    ).fetchone()
    return bool(row and row[0])
