"""From a person's request to a plan: which instruments to ingest, from which provider, over which ranges.

Symbols that nobody registered are registered here, once everything that can be wrong was found right. Not here: how
the plan is carried out (``pipeline``), and how the request was typed (``cli``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from chandlery.config.universe import AssetClass, InstrumentConfig, Universe
from chandlery.core.calendars import get_calendar
from chandlery.core.partition import listed_range
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.coverage.calendar_changes import apply_instruments
from chandlery.errors import ChandleryError, UsageError
from chandlery.ingest.cost import Cost, estimate_costs
from chandlery.ingest.plan import IngestOptions, IngestPlan
from chandlery.ingest.planner import RequestPlanner
from chandlery.instruments.registry import Instrument, load_instruments
from chandlery.providers.configured import ConfiguredProviders
from chandlery.tiers.warehouse import Warehouse


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
        retract: end the bars that a person's files held before and hold no longer.
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
    retract: bool = False


@dataclass(frozen=True, slots=True)
class PreparedIngest:
    """A plan, and what had to be done for it.

    Attributes:
        plan: ready for the orchestrator.
        registered: the instruments that are new, as they were registered.
        resolved: canonical symbol by the ticker that was given, where they differ.
        unlisted: symbols that were not listed at any time of the range, and that the plan leaves out.
        refused: why other symbols are left out: they are new and their files cannot be read or, of all that a provider
            has, one has no symbol's name or reaches back too far. Nothing of these was registered.
        notes: by symbol, what a person should know of its files.
        tickers: by symbol, other names of the instrument.
        added: symbols of those of ``registered`` that were not registered otherwise before.
    """

    plan: IngestPlan
    registered: Sequence[InstrumentConfig] = ()
    resolved: Mapping[str, str] = field(default_factory=dict)
    unlisted: Sequence[Instrument] = ()
    refused: Mapping[str, ChandleryError] = field(default_factory=dict)
    notes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    tickers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    added: Sequence[str] = ()


def plan_ingest(
    request: IngestRequest,
    *,
    warehouse: Warehouse,
    universe: Universe,
    providers: ConfiguredProviders,
    approve: Callable[[Sequence[Cost]], None] = lambda _: None,
    register: bool = True,
    now: datetime | None = None,
) -> PreparedIngest:
    """Return the plan for ``request``; registers the symbols that are new.

    A symbol that its provider does not know, whose file cannot be read, or whose provider cannot be used while others
    can, is planned nevertheless, so that the run names it while the others go on; but one that is new and whose file
    cannot be read is left out and not registered. Ranges are cut to the time in which the instrument was listed.

    Args:
        request: what to ingest.
        warehouse: where instruments are registered.
        universe: what ``universe.yaml`` says.
        providers: that are configured.
        approve: is told what the plan will cost, by remote provider, before anything is registered; it may raise.
        register: whether new symbols are registered; otherwise the plan is only for looking at.
        now: the present, UTC; the clock by default.

    Raises:
        UsageError: an argument is wrong, or nothing was listed at any time of the range; nothing was registered.
        ConfigurationError: the only provider or its options are wrong; nothing was registered.
        ProviderAuthError: the only provider's key is missing or refused; nothing was registered.
    """
    now = now or datetime.now(UTC)
    _check(request, now)
    planner = RequestPlanner(request, warehouse, universe, providers, now)
    symbols = list(dict.fromkeys(request.symbols or planner.everything()))
    with warehouse.connection() as connection:
        known, new, resolved = planner.identify(connection, symbols)
        ranges = planner.ranges(known, new)
        new = [config for config in new if config.symbol in ranges]
        known |= {config.symbol: _unregistered(config, -number) for number, config in enumerate(new, start=1)}
        listed, unlisted = _cut_to_listing({known[symbol]: ranges[symbol] for symbol in ranges}, request.timeframe)
        options = IngestOptions(request.provider, planner.options, request.refresh, retract=request.retract)
        approve(estimate_costs(connection, listed, request.timeframe, providers, options))
        before = load_instruments(connection)
        if new and register:
            apply_instruments(connection, warehouse, new)
            fresh = load_instruments(connection)
            listed = {fresh[instrument.symbol]: span for instrument, span in listed.items()}
    added = [config.symbol for config in new if register and config.symbol not in before]
    plan = IngestPlan(request.timeframe, listed, options, request.max_rejected_share)
    return PreparedIngest(plan, new, resolved, unlisted, planner.refused, planner.notes, planner.tickers, added)


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


def _cut_to_listing(
    ranges: Mapping[Instrument, tuple[datetime, datetime]], timeframe: Timeframe
) -> tuple[dict[Instrument, tuple[datetime, datetime]], list[Instrument]]:
    """Return the ranges, each cut to when its instrument was listed, and the instruments of which nothing is left.

    Raises:
        UsageError: nothing is left of any.
    """
    cut: dict[Instrument, tuple[datetime, datetime]] = {}
    unlisted: list[Instrument] = []
    for instrument, (start, end) in ranges.items():
        listed_from, listed_until = listed_range(instrument, timeframe)
        first, last = max(start, listed_from), min(end, listed_until)
        if first < last:
            cut[instrument] = first, last
        else:
            unlisted.append(instrument)
    if unlisted and not cut:
        raise UsageError("; ".join(describe_listing(instrument) for instrument in unlisted))
    return cut, unlisted


def _unregistered(config: InstrumentConfig, number: int) -> Instrument:
    """Return an instrument as it will be registered, under a number of its own."""
    timeframes = tuple(timeframe.value for timeframe in config.timeframes)
    return Instrument(
        number,
        config.symbol,
        config.asset_class,
        config.calendar,
        config.provider or "",
        timeframes,
        config.name or None,
        config.listed,
        config.delisted,
    )


def describe_listing(instrument: Instrument) -> str:
    """Return, for people, why nothing is requested of an instrument that was not listed in the range."""
    since = f" from {instrument.listed}" if instrument.listed else ""
    until = f" until {instrument.delisted}" if instrument.delisted else ""
    return f"{instrument.symbol} was listed{since}{until}: there is nothing to request in the range"
