"""From a person's request to a plan: which instruments to ingest, from which provider, over which ranges.

Symbols that nobody registered are registered here, once everything that can be wrong was found right. Not here: how
the plan is carried out (``pipeline``), and how the request was typed (``cli``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import psycopg

from chandlery.config.universe import AssetClass, InstrumentConfig, Universe, default_calendar
from chandlery.core.calendars import get_calendar
from chandlery.core.timeframe import INGESTED, Timeframe, parse_moment
from chandlery.errors import ProviderAuthError, ProviderError, UnknownSymbolError, UsageError
from chandlery.ingest.plan import IngestOptions, IngestPlan
from chandlery.instruments.aliases import resolve
from chandlery.instruments.registry import Instrument, load_instruments, sync_instruments
from chandlery.providers.base import Provider
from chandlery.providers.configured import ConfiguredProviders
from chandlery.tiers.warehouse import Warehouse

_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """What a person wants to ingest.

    Attributes:
        timeframe: ``1m`` or ``1d``.
        symbols: canonical symbols, other tickers of known instruments, or new symbols; none means all that the
            provider holds, if it can list them.
        provider: name in ``providers.yaml``; each instrument's own by default.
        options: override the provider's options, as ``{"path": ...}``.
        start: inclusive, UTC; by default where the provider's bars begin.
        end: exclusive, UTC; by default where they end, or the present.
        calendar: of new symbols; guessed by default.
        asset_class: of new symbols; guessed by default.
        max_rejected_share: overrides the gate's limit, 0 to 1.
        refresh: request from a remote provider also what is complete and final.
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
class PreparedIngest:
    """A plan, and what had to be done for it.

    Attributes:
        plan: ready for the orchestrator.
        registered: the instruments that are new, as they were registered.
        resolved: canonical symbol by the ticker that was given, where they differ.
    """

    plan: IngestPlan
    registered: Sequence[InstrumentConfig] = ()
    resolved: Mapping[str, str] = field(default_factory=dict)


def plan_ingest(
    request: IngestRequest,
    *,
    warehouse: Warehouse,
    universe: Universe,
    providers: ConfiguredProviders,
    now: datetime | None = None,
) -> PreparedIngest:
    """Return the plan for ``request``; registers the symbols that are new.

    A symbol that its provider does not know, or whose file cannot be read, is planned nevertheless, so that the run
    names it while the others go on.

    Args:
        request: what to ingest.
        warehouse: where instruments are registered.
        universe: what ``universe.yaml`` says.
        providers: that are configured.
        now: the present, UTC; the clock by default.

    Raises:
        UsageError: an argument is wrong; nothing was registered.
        ConfigurationError: the provider or its options are wrong; nothing was registered.
        ProviderAuthError: the provider's key is missing or refused; nothing was registered.
    """
    now = now or datetime.now(UTC)
    _check(request, now)
    planner = _Planner(request, warehouse, universe, providers, now)
    symbols = list(dict.fromkeys(request.symbols or planner.everything()))
    with warehouse.connection() as connection:
        known, new, resolved = planner.identify(connection, symbols)
        ranges = {symbol: planner.range_of(symbol, provider) for symbol, provider in planner.providers(known, new)}
        if new:
            sync_instruments(connection, new)
            fresh = load_instruments(connection)
            known |= {config.symbol: fresh[config.symbol] for config in new}
    plan = IngestPlan(
        timeframe=request.timeframe,
        ranges={known[symbol]: ranges[symbol] for symbol in known},
        options=IngestOptions(
            provider=request.provider, provider_options=dict(request.options), refresh=request.refresh
        ),
        max_rejected_share=request.max_rejected_share,
    )
    return PreparedIngest(plan, new, resolved)


def _check(request: IngestRequest, now: datetime) -> None:
    if not request.timeframe.is_ingested:
        names = " ".join(INGESTED)
        raise UsageError(
            f"timeframe={request.timeframe.value!r} is derived from {request.timeframe.base.value}, which comes"
            f" first; allowed: {names}"
        )
    if request.options and request.provider is None:
        raise UsageError(f"{' '.join(sorted(request.options))}: an option of a provider; name it with --provider")
    if request.max_rejected_share is not None and not 0 <= request.max_rejected_share <= 1:
        raise UsageError(f"max_rejected_share={request.max_rejected_share} is not a share; allowed: 0 to 1")
    if request.asset_class is not None and request.asset_class not in get_args(AssetClass):
        allowed = " ".join(get_args(AssetClass))
        raise UsageError(f"asset_class={request.asset_class!r} is not known; allowed: {allowed}")
    if request.calendar is not None:
        get_calendar(request.calendar)
    if request.start is not None and request.start >= now:
        raise UsageError(f"start={request.start} is in the future; it is {now:%Y-%m-%d %H:%M}Z now")
    if request.start is not None and request.end is not None and request.start >= request.end:
        raise UsageError(
            f"start={request.start} is not before end={request.end}; ranges are half-open [start, end), so one day is "
            f"--start {request.start.date()} --end {request.start.date() + timedelta(days=1)}"
        )


class _Planner:
    """Looks up what one request leaves open."""

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
        self._first = parse_moment(universe.history.first_day(request.timeframe), name="history")

    def everything(self) -> Sequence[str]:
        """Return all symbols that the provider holds."""
        if self._request.provider is None:
            raise UsageError("no symbol was given; name some, or give --symbols-file, --preset or --provider")
        provider = self._provider(self._request.provider, {})
        symbols = getattr(provider, "symbols", None)
        if symbols is None:
            raise UsageError(f"provider {provider.name!r} cannot list what it has; name the symbols")
        held: list[str] = symbols(self._request.timeframe)
        if not held:
            raise UsageError(f"provider {provider.name!r} has no {self._request.timeframe.value} bars at all")
        with self._warehouse.connection() as connection:
            registered = load_instruments(connection).keys()
        # A file's name has ``-`` for ``/``: where only BTC/USD is registered, BTC-USD.csv is that.
        slashed = {name: name.replace("-", "/") for name in held}
        return [slashed[name] if name not in registered and slashed[name] in registered else name for name in held]

    def identify(
        self, connection: psycopg.Connection, symbols: Sequence[str]
    ) -> tuple[dict[str, Instrument], list[InstrumentConfig], dict[str, str]]:
        """Return the known instruments by symbol, descriptions of the new ones, and what tickers were resolved to."""
        known: dict[str, Instrument] = {}
        new: dict[str, InstrumentConfig] = {}
        resolved: dict[str, str] = {}
        start, end = self._request.start or self._first, self._request.end or self._now
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
        """Return each symbol with its provider."""
        names = {symbol: self._request.provider or instrument.provider for symbol, instrument in known.items()}
        names |= {config.symbol: self._request.provider or str(config.provider) for config in new}
        calendars = {symbol: instrument.calendar for symbol, instrument in known.items()}
        calendars |= {config.symbol: config.calendar for config in new}
        made = {name: self._provider(name, calendars) for name in dict.fromkeys(names.values())}
        for name, provider in made.items():
            if self._request.timeframe not in provider.timeframes:
                has = " ".join(sorted(provider.timeframes))
                raise UsageError(f"provider {name!r} has no {self._request.timeframe.value} bars; it has: {has}")
        return [(symbol, made[name]) for symbol, name in names.items()]

    def range_of(self, symbol: str, provider: Provider) -> tuple[datetime, datetime]:
        """Return the range to plan for one symbol: as requested or, by default, as far as its provider reaches."""
        request = self._request
        try:
            span = provider.span(symbol, request.timeframe)
        except ProviderAuthError:
            raise
        except ProviderError:  # the run will say so, of this symbol only; a short range says it soon enough
            span = (request.timeframe.window_of(self._now).start, self._now)
        usual_start, usual_end = span or self._usual(provider)
        start, end = request.start or usual_start, request.end or usual_end
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

    def _usual(self, provider: Provider) -> tuple[datetime, datetime]:
        """Return the range of a provider that does not know its own.

        It goes back as far as the provider's history, or two weeks where bars are invented without end.
        """
        if provider.limits.endless:
            midnight = self._now.replace(hour=0, minute=0, second=0, microsecond=0)
            monday = midnight - timedelta(days=midnight.weekday())
            return monday - 2 * _WEEK, monday
        depth = provider.limits.history_depth.get(self._request.timeframe)
        return max(self._first, self._now - depth) if depth else self._first, self._now

    def _provider(self, name: str, calendars: Mapping[str, str]) -> Provider:
        return self._providers.build(name, options=self._request.options, calendars=calendars)

    def _describe(self, symbol: str) -> InstrumentConfig:
        """Return what to register for a symbol that is new."""
        request = self._request
        config = self._universe.instrument(symbol)
        if config.provider is not None:  # listed since the last `chandlery init`
            return config
        if request.provider is None:
            raise UsageError(
                f"symbol {symbol!r} is not known; name its provider with --provider, or add it to universe.yaml"
            )
        asset_class = request.asset_class or config.asset_class
        calendar = request.calendar or default_calendar(symbol, asset_class)
        get_calendar(calendar)
        guessed = {"asset_class": asset_class, "calendar": calendar}
        return config.model_copy(update={**guessed, "provider": request.provider, "timeframes": (request.timeframe,)})

    def _refuse_other_description(self, instrument: Instrument) -> None:
        """Raise where a known instrument was given another calendar or asset class: the options are for new ones."""
        for name in ("calendar", "asset_class"):
            given, registered = getattr(self._request, name), getattr(instrument, name)
            if given is not None and given != registered:
                raise UsageError(
                    f"{name}={given!r}, but {instrument.symbol} is registered with {registered!r};"
                    " the option is for new symbols"
                )


def _was_an_alias(connection: psycopg.Connection, ticker: str) -> bool:
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM market.symbol_alias WHERE ticker = %(ticker)s)", {"ticker": ticker}
    ).fetchone()
    return bool(row and row[0])
