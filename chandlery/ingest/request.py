"""From what a person asks to ingest to an order: which instruments, from which provider, over which ranges.

Symbols that nobody registered are registered here, once everything that can be wrong was found right.
Not here: carrying the order out (``orchestrator``), and how it was typed (``cli``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import psycopg

from chandlery.app.installation import Installation
from chandlery.config.universe import AssetClass, InstrumentConfig, default_calendar
from chandlery.core.calendars import get_calendar
from chandlery.core.timeframe import INGESTED, Timeframe, parse_moment
from chandlery.errors import ProviderAuthError, ProviderError, UnknownSymbolError, UsageError
from chandlery.instruments.aliases import resolve
from chandlery.instruments.registry import Instrument, list_instruments, sync_instruments
from chandlery.providers.base import Provider
from chandlery.providers.catalog import build_provider

_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """What a person asks for.

    Attributes:
        timeframe: ``1m`` or ``1d``.
        symbols: canonical symbols, other tickers of known instruments, or new symbols; none means all that the
            provider holds, if it can say.
        provider: name in ``providers.yaml``; each instrument's own by default.
        options: override the provider's options, as ``{"path": ...}``.
        start: inclusive, UTC; by default where the provider's bars begin.
        end: exclusive, UTC; by default where they end, or the present.
        calendar: of new symbols; guessed by default.
        asset_class: of new symbols; guessed by default.
        max_rejected_share: overrides the gate's limit, 0 to 1.
        refresh: ask also for what is complete and final.
    """

    timeframe: Timeframe
    symbols: Sequence[str] = ()
    provider: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    start: datetime | None = None
    end: datetime | None = None
    calendar: str | None = None
    asset_class: str | None = None
    max_rejected_share: float | None = None
    refresh: bool = False


@dataclass(frozen=True, slots=True)
class IngestPlan:
    """What to ingest.

    Attributes:
        timeframe: ``1m`` or ``1d``.
        ranges: the half-open range, UTC, wanted of each instrument.
        provider: name in ``providers.yaml``; each instrument's own by default.
        options: override the provider's options, as ``{"path": ...}``.
        max_rejected_share: overrides the gate's limit, 0 to 1.
        refresh: ask also for what is complete and final.
        replay_since: ask nobody; judge again what landed since then, UTC.
    """

    timeframe: Timeframe
    ranges: Mapping[Instrument, tuple[datetime, datetime]]
    provider: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    max_rejected_share: float | None = None
    refresh: bool = False
    replay_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """An order, and what had to be done for it.

    Attributes:
        order: ready for the orchestrator.
        registered: the instruments that are new, as they were registered.
        resolved: canonical symbol by the ticker that was given, where they differ.
    """

    order: IngestPlan
    registered: Sequence[InstrumentConfig]
    resolved: Mapping[str, str]


def plan_ingest(installation: Installation, wish: IngestRequest, *, now: datetime | None = None) -> Plan:
    """Return the order for ``wish``; registers the symbols that are new.

    A symbol that its provider does not know, or whose file cannot be read, is ordered nevertheless, so that the run
    names it while the others go on.

    Args:
        installation: where.
        wish: what.
        now: the present, UTC; the clock by default.

    Raises:
        UsageError: an argument is wrong; nothing was registered.
        ConfigurationError: the provider or its options are wrong; nothing was registered.
        ProviderAuthError: the provider's key is missing or refused; nothing was registered.
    """
    now = now or datetime.now(UTC)
    _check(wish, now)
    planner = _Planner(installation, wish, now)
    symbols = list(dict.fromkeys(wish.symbols or planner.everything()))
    with installation.warehouse.connection() as connection:
        known, new, resolved = planner.identify(connection, symbols)
        ranges = {symbol: planner.range_of(symbol, provider) for symbol, provider in planner.providers(known, new)}
        if new:
            sync_instruments(connection, new)
            fresh = {instrument.symbol: instrument for instrument in list_instruments(connection)}
            known |= {config.symbol: fresh[config.symbol] for config in new}
    order = IngestPlan(
        timeframe=wish.timeframe,
        ranges={known[symbol]: ranges[symbol] for symbol in known},
        provider=wish.provider,
        options=dict(wish.options),
        max_rejected_share=wish.max_rejected_share,
        refresh=wish.refresh,
    )
    return Plan(order, new, resolved)


def _check(wish: IngestRequest, now: datetime) -> None:
    if not wish.timeframe.is_ingested:
        names = " ".join(INGESTED)
        raise UsageError(
            f"timeframe={wish.timeframe.value!r} is derived from {wish.timeframe.base.value}, which comes"
            f" first; allowed: {names}"
        )
    if wish.options and wish.provider is None:
        raise UsageError(f"{' '.join(sorted(wish.options))}: an option of a provider; name it with --provider")
    if wish.max_rejected_share is not None and not 0 <= wish.max_rejected_share <= 1:
        raise UsageError(f"max_rejected_share={wish.max_rejected_share} is not a share; allowed: 0 to 1")
    if wish.asset_class is not None and wish.asset_class not in get_args(AssetClass):
        allowed = " ".join(get_args(AssetClass))
        raise UsageError(f"asset_class={wish.asset_class!r} is not known; allowed: {allowed}")
    if wish.calendar is not None:
        get_calendar(wish.calendar)
    if wish.start is not None and wish.start >= now:
        raise UsageError(f"start={wish.start} is in the future; it is {now:%Y-%m-%d %H:%M}Z now")
    if wish.start is not None and wish.end is not None and wish.start >= wish.end:
        raise UsageError(
            f"start={wish.start} is not before end={wish.end}; ranges are half-open [start, end), so one day is "
            f"--start {wish.start.date()} --end {wish.start.date() + timedelta(days=1)}"
        )


class _Planner:
    """Looks things up for one wish."""

    def __init__(self, installation: Installation, wish: IngestRequest, now: datetime) -> None:
        self._installation = installation
        self._wish = wish
        self._now = now
        self._first = parse_moment(installation.universe.history.first_day(wish.timeframe), name="history")

    def everything(self) -> Sequence[str]:
        """Return all symbols that the provider holds."""
        if self._wish.provider is None:
            raise UsageError("no symbol was given; name some, or give --symbols-file, --preset or --provider")
        provider = self._provider(self._wish.provider, {})
        symbols = getattr(provider, "symbols", None)
        if symbols is None:
            raise UsageError(f"provider {provider.name!r} cannot list what it has; name the symbols")
        found: list[str] = symbols(self._wish.timeframe)
        if not found:
            raise UsageError(f"provider {provider.name!r} has no {self._wish.timeframe.value} bars at all")
        with self._installation.warehouse.connection() as connection:
            registered = {instrument.symbol for instrument in list_instruments(connection)}
        # A file's name has ``-`` for ``/``: where only BTC/USD is registered, BTC-USD.csv is that.
        slashed = {name: name.replace("-", "/") for name in found}
        return [slashed[name] if name not in registered and slashed[name] in registered else name for name in found]

    def identify(
        self, connection: psycopg.Connection, symbols: Sequence[str]
    ) -> tuple[dict[str, Instrument], list[InstrumentConfig], dict[str, str]]:
        """Return the known instruments by symbol, descriptions of the new ones, and what tickers were resolved to."""
        known: dict[str, Instrument] = {}
        new: dict[str, InstrumentConfig] = {}
        resolved: dict[str, str] = {}
        start, end = self._wish.start or self._first, self._wish.end or self._now
        for symbol in symbols:
            try:
                instrument = resolve(connection, symbol, start, end)
            except UnknownSymbolError:
                if _was_an_alias(connection, symbol):
                    raise
                new[symbol] = self._describe(symbol)
                continue
            self._refuse_other_description(instrument)
            known[instrument.symbol] = instrument
            if instrument.symbol != symbol:
                resolved[symbol] = instrument.symbol
        return known, list(new.values()), resolved

    def providers(self, known: Mapping[str, Instrument], new: Sequence[InstrumentConfig]) -> list[tuple[str, Provider]]:
        """Return each symbol with the provider to ask."""
        wanted = {symbol: self._wish.provider or instrument.provider for symbol, instrument in known.items()}
        wanted |= {config.symbol: self._wish.provider or str(config.provider) for config in new}
        calendars = {symbol: instrument.calendar for symbol, instrument in known.items()}
        calendars |= {config.symbol: config.calendar for config in new}
        made = {name: self._provider(name, calendars) for name in dict.fromkeys(wanted.values())}
        for name, provider in made.items():
            if self._wish.timeframe not in provider.timeframes:
                has = " ".join(sorted(provider.timeframes))
                raise UsageError(f"provider {name!r} has no {self._wish.timeframe.value} bars; it has: {has}")
        return [(symbol, made[name]) for symbol, name in wanted.items()]

    def range_of(self, symbol: str, provider: Provider) -> tuple[datetime, datetime]:
        """Return the range to order of one symbol: as wished or, by default, as far as its provider reaches."""
        wish = self._wish
        try:
            span = provider.span(symbol, wish.timeframe)
        except ProviderAuthError:
            raise
        except ProviderError:  # the run will say so, of this symbol only; a short range says it soon enough
            span = (wish.timeframe.window_of(self._now).start, self._now)
        usual_start, usual_end = span or self._usual(provider)
        start, end = wish.start or usual_start, wish.end or usual_end
        if start >= end and wish.end is None:
            end = self._now
        elif start >= end:
            start = wish.timeframe.window_of(end - timedelta(microseconds=1)).start
        if start < self._first:
            raise UsageError(
                f"{symbol}: the range begins on {start:%Y-%m-%d}, before history.{wish.timeframe.value} ="
                f" {self._first:%Y-%m-%d} in universe.yaml; begin later with --start, or set it to an earlier day"
            )
        return start, min(end, self._now)

    def _usual(self, provider: Provider) -> tuple[datetime, datetime]:
        """Return the range of a provider that cannot tell its own: its reach, or two weeks where bars are endless."""
        if provider.limits.endless:
            midnight = self._now.replace(hour=0, minute=0, second=0, microsecond=0)
            monday = midnight - timedelta(days=midnight.weekday())
            return monday - 2 * _WEEK, monday
        reach = provider.limits.history_depth.get(self._wish.timeframe)
        return max(self._first, self._now - reach) if reach else self._first, self._now

    def _provider(self, name: str, calendars: Mapping[str, str]) -> Provider:
        installation = self._installation
        return build_provider(
            name,
            installation.providers,
            options=self._wish.options,
            calendars=calendars,
            rate_limiters=installation.rate_limiters,
        )

    def _describe(self, symbol: str) -> InstrumentConfig:
        """Return what to register for a symbol that is new."""
        wish = self._wish
        config = self._installation.universe.instrument(symbol)
        if config.provider is not None:  # listed since the last `chandlery init`
            return config
        if wish.provider is None:
            raise UsageError(
                f"symbol {symbol!r} is not known; name its provider with --provider, or add it to universe.yaml"
            )
        asset_class = wish.asset_class or config.asset_class
        calendar = wish.calendar or default_calendar(symbol, asset_class)
        get_calendar(calendar)
        guessed = {"asset_class": asset_class, "calendar": calendar}
        return config.model_copy(update={**guessed, "provider": wish.provider, "timeframes": (wish.timeframe,)})

    def _refuse_other_description(self, instrument: Instrument) -> None:
        """Raise where a known instrument was given another calendar or asset class: the options are for new ones."""
        for name in ("calendar", "asset_class"):
            given, registered = getattr(self._wish, name), getattr(instrument, name)
            if given is not None and given != registered:
                raise UsageError(
                    f"{name}={given!r}, but {instrument.symbol} is registered with {registered!r};"
                    " the option is for new symbols"
                )


def _was_an_alias(connection: psycopg.Connection, ticker: str) -> bool:
    found = connection.execute(
        "SELECT EXISTS (SELECT FROM market.symbol_alias WHERE ticker = %s)", (ticker,)
    ).fetchone()
    return bool(found and found[0])
