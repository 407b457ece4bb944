"""``universe.yaml``: which instruments there are, how far back they reach, and what the gate tolerates.

Everything is checked when it is read, and an error points at file, line and key. One thing is left for later: whether a
calendar exists, because that takes two seconds to find out (``check_calendars``). Not here: the environment
(``settings``), ``providers.yaml`` (``providers``) and the database's instruments (``chandlery.instruments``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from chandlery.config.providers import read_providers
from chandlery.config.yaml_document import Document, Root, Section, list_choices, problem_at, read_text, short_path
from chandlery.core.calendars import FIRST_SESSION, calendar_names, get_calendar
from chandlery.core.guesses import default_asset_class, default_calendar, why_unknown
from chandlery.core.symbols import AssetClass, validate_symbol
from chandlery.core.time_ranges import Range, overlapping, subtract
from chandlery.core.timeframe import Timeframe
from chandlery.errors import ConfigurationError, UsageError

__all__ = [
    "AliasConfig",
    "AssetClass",
    "GateConfig",
    "HistoryConfig",
    "InstrumentConfig",
    "Universe",
    "check_calendars",
    "default_asset_class",
    "default_calendar",
    "guess_instrument",
    "load_universe",
    "validate_symbol",
]


def _day(value: object) -> object:
    # pydantic would take a number for seconds since 1970.
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"{value!r} is not a date; write 2024-01-31") from None


Day: TypeAlias = Annotated[date, BeforeValidator(_day)]
Symbol: TypeAlias = Annotated[str, AfterValidator(validate_symbol)]
IngestedTimeframe: TypeAlias = Literal[Timeframe.M1, Timeframe.D1]


class HistoryConfig(Section):
    """How far back partitions reach: the first day of the first window of each ingested timeframe."""

    m1: Day = Field(default=date(2010, 1, 1), alias="1m")
    d1: Day = Field(default=date(1990, 1, 1), alias="1d")

    @model_validator(mode="after")
    def _starts_a_window(self) -> Self:
        for timeframe in (Timeframe.M1, Timeframe.D1):
            first = self.first_day(timeframe)
            if first < FIRST_SESSION:
                raise problem_at(
                    (timeframe.value,), f"{first} is before {FIRST_SESSION}, the first day that calendars know"
                )
            start = timeframe.window_of(first).start.date()
            if first != start:
                unit = timeframe.window_kind
                raise problem_at((timeframe.value,), f"{first} is not the first day of a {unit}; write {start}")
        return self

    def first_day(self, timeframe: Timeframe) -> date:
        """Return the first day from which bars of ``timeframe`` are taken; a derived one has its base's."""
        return self.m1 if timeframe.base is Timeframe.M1 else self.d1


class GateConfig(Section):
    """What the gate tolerates.

    Attributes:
        max_rejected_share: largest share of a partition's rows, 0 to 1 inclusive, that may be rejected while the rest
            is published.
        max_rejected_rows: so many rows, 0 or more, may be rejected whatever their share is.
    """

    max_rejected_share: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)] = 0.01
    max_rejected_rows: Annotated[int, Field(strict=True, ge=0)] = 3


class AliasConfig(Section):
    """A ticker that meant an instrument for a while.

    Attributes:
        ticker: the former or other name.
        valid_from: first day on which it applied (``from`` in the file); None where it always had.
        valid_until: first day on which it no longer applied (``until`` in the file); None where it still does.
    """

    ticker: Symbol
    valid_from: Day | None = Field(default=None, alias="from")
    valid_until: Day | None = Field(default=None, alias="until")

    @model_validator(mode="after")
    def _is_forward(self) -> Self:
        if self.valid_from and self.valid_until and self.valid_from >= self.valid_until:
            text = f"{self.valid_until} is not after from: {self.valid_from}; it is the first day without this ticker"
            raise problem_at(("until",), text)
        return self


class InstrumentConfig(Section):
    """One instrument.

    Attributes:
        symbol: canonical symbol.
        asset_class: what it is; guessed from the symbol where absent.
        calendar: name of its calendar, as in ``exchange_calendars``; guessed from the symbol where absent.
        provider: name in ``providers.yaml``; None only for a guess.
        name: what people call it.
        timeframes: the ingested timeframes that schedules keep up to date.
        listed: first session on which it traded, where known.
        delisted: first session on which it no longer traded, where known.
        aliases: other tickers that meant it.
    """

    symbol: Symbol
    asset_class: AssetClass
    calendar: str = Field(min_length=1)
    provider: str | None = None
    name: str = ""
    timeframes: tuple[IngestedTimeframe, ...] = (Timeframe.D1,)
    listed: Day | None = None
    delisted: Day | None = None
    aliases: tuple[AliasConfig, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _guess_what_is_absent(cls, data: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        if not isinstance(data, Mapping):
            return data
        symbol = given if isinstance(given := data.get("symbol"), str) else ""
        asset_class = data.get("asset_class", default_asset_class(symbol))
        # What is no text cannot be looked up; that it is wrong is said of the field itself.
        calendar = default_calendar(symbol, asset_class if isinstance(asset_class, str) else "")
        if calendar is None and "calendar" not in data:
            raise problem_at(("calendar",), f"is missing: {why_unknown(symbol)}; name one, such as XNYS")
        return {"asset_class": asset_class, "calendar": calendar, **data}

    @model_validator(mode="after")
    def _is_forward(self) -> Self:
        if self.listed and self.delisted and self.listed >= self.delisted:
            text = f"{self.delisted} is not after listed: {self.listed}; it is the first day without trading"
            raise problem_at(("delisted",), text)
        return self


def _preset(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, Mapping):
        return value
    if set(value) != {"file"} or not isinstance(value["file"], str):
        raise ValueError("a preset is a list of symbols, or {file: presets/name.txt} with one symbol per line")
    folder = info.context.path.parent if isinstance(info.context, Document) else Path()
    return tuple(_read_preset(folder / value["file"]))


def _read_preset(path: Path) -> Iterator[str]:
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        symbol = line.partition("#")[0].strip()
        if symbol:
            try:
                yield validate_symbol(symbol)
            except UsageError as error:
                raise ConfigurationError(f"{short_path(path)}:{number}: {error}") from None


Preset: TypeAlias = Annotated[tuple[Symbol, ...], BeforeValidator(_preset)]


class Universe(Root):
    """What ``universe.yaml`` says.

    Attributes:
        history: how far back partitions reach.
        gate: what the gate tolerates.
        instruments: in the file's order.
        presets: lists of symbols by name; a symbol need not be among ``instruments``.
    """

    history: HistoryConfig = HistoryConfig()
    gate: GateConfig = GateConfig()
    instruments: tuple[InstrumentConfig, ...] = ()
    presets: dict[str, Preset] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        seen: set[str] = set()
        for index, instrument in enumerate(self.instruments):
            if instrument.symbol in seen:
                raise problem_at(("instruments", index, "symbol"), f"{instrument.symbol!r} is given twice")
            if instrument.provider is None:
                raise problem_at(("instruments", index, "provider"), "is missing; name one of providers.yaml")
            seen.add(instrument.symbol)
        _refuse_ambiguous_tickers(self.instruments)
        for name, symbols in self.presets.items():
            for index, symbol in enumerate(symbols):
                if symbol in symbols[:index]:
                    raise problem_at(("presets", name, index), f"{symbol!r} is given twice")
        return self

    def preset(self, name: str) -> tuple[str, ...]:
        """Return the symbols of a preset, in its order; raise ``UsageError`` naming the presets there are."""
        if name not in self.presets:
            raise UsageError(f"preset {name!r} is not known; there are: {list_choices(self.presets, name) or 'none'}")
        return self.presets[name]

    def instrument(self, symbol: str, asset_class: str | None = None, calendar: str | None = None) -> InstrumentConfig:
        """Return what is configured for ``symbol``, or ``guess_instrument`` of one that is not listed."""
        listed = (instrument for instrument in self.instruments if instrument.symbol == symbol)
        return next(listed, None) or guess_instrument(symbol, asset_class, calendar)


def load_universe(path: Path) -> Universe:
    """Read ``universe.yaml``.

    Where ``providers.yaml`` lies beside it, the instruments' providers are looked up in it.

    Raises:
        ConfigurationError: with file, line, key, what was given and what is allowed, for each thing that is wrong.
    """
    universe = Document.read(path).validate(Universe)
    beside = path.with_name("providers.yaml")
    if beside.is_file():
        known = read_providers(beside).providers
        for index, instrument in enumerate(universe.instruments):
            if instrument.provider not in known:
                names = list_choices(known, instrument.provider)
                text = f"{instrument.provider!r} is not in {short_path(beside)}; there are: {names}"
                raise universe.error(("instruments", index, "provider"), text)
    return universe


def check_calendars(universe: Universe) -> None:
    """Raise ``ConfigurationError`` for the first instrument whose calendar does not exist or cannot be built.

    Apart from ``load_universe`` because it imports ``exchange_calendars``, which takes two seconds.
    """
    known = calendar_names()
    for index, instrument in enumerate(universe.instruments):
        if instrument.calendar not in known:
            text = f"{instrument.calendar!r} is not a calendar; allowed: {list_choices(known, instrument.calendar)}"
            raise universe.error(("instruments", index, "calendar"), text)
        try:
            get_calendar(instrument.calendar)
        except UsageError as error:
            raise universe.error(("instruments", index, "calendar"), str(error)) from None


def guess_instrument(symbol: str, asset_class: str | None = None, calendar: str | None = None) -> InstrumentConfig:
    """Return what ``symbol`` most likely is, without a provider; what is given is not guessed.

    Raises:
        UsageError: it is no symbol at all, or its spelling names a market or a currency that is not known.
    """
    asset_class = asset_class or default_asset_class(validate_symbol(symbol))
    calendar = calendar or default_calendar(symbol, asset_class)
    if calendar is None:
        raise UsageError(
            f"symbol {symbol!r}: {why_unknown(symbol)}; say by which calendar it trades (--calendar XNYS for US stocks,"
            " 24/7 for crypto, ...) and, if need be, what it is (--asset-class), or describe it in universe.yaml"
        )
    return InstrumentConfig.model_validate({"symbol": symbol, "asset_class": asset_class, "calendar": calendar})


def _refuse_ambiguous_tickers(instruments: tuple[InstrumentConfig, ...]) -> None:
    """Raise where one ticker means two things on one day."""
    claims = {owner.symbol: [(owner.symbol, own) for own in _own_ranges(owner)] for owner in instruments}
    for index, instrument in enumerate(instruments):
        for position, alias in enumerate(instrument.aliases):
            requested = _range(alias.valid_from, alias.valid_until)
            taken = claims.setdefault(alias.ticker, [])
            for owner, claimed in taken:
                for low, high in overlapping([claimed], requested):
                    text = f"{alias.ticker!r} means {owner} already, from {low} until {high}"
                    raise problem_at(("instruments", index, "aliases", position), text)
            taken.append((instrument.symbol, requested))


def _own_ranges(instrument: InstrumentConfig) -> list[Range[date]]:
    """Return when an instrument went by its canonical symbol: while it was listed and had no other name."""
    aliases = (_range(alias.valid_from, alias.valid_until) for alias in instrument.aliases)
    return subtract([_range(instrument.listed, instrument.delisted)], aliases)


def _range(start: date | None, end: date | None) -> Range[date]:
    return start or date.min, end or date.max
