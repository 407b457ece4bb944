"""Instruments in the database: registering them, with their aliases and their calendars' sessions, and listing them.

Not here: ``universe.yaml`` itself (``config.universe``), and finding an instrument by its name (``aliases``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING

import psycopg
from psycopg.rows import class_row

from chandlery.core.calendars import get_calendar
from chandlery.database.named_queries import query
from chandlery.instruments.sessions import SessionChange, sync_sessions

if TYPE_CHECKING:
    from chandlery.config.universe import InstrumentConfig


@dataclass(frozen=True, slots=True)
class Instrument:
    """A thing that trades.

    Attributes:
        instrument_id: permanent number.
        symbol: canonical symbol.
        asset_class: equity, etf, crypto, fx, future, index, power or spread.
        calendar: name in ``exchange_calendars``.
        provider: name in ``providers.yaml``.
        timeframes: the ingested timeframes that schedules keep up to date.
        name: what people call it.
        listed: its first session, where known.
        delisted: the first day on which it no longer traded, where known.
        in_universe: whether ``universe.yaml`` lists it: False where it no longer does; None where it never did, because
            a command registered it.
    """

    instrument_id: int
    symbol: str
    asset_class: str
    calendar: str
    provider: str
    timeframes: Sequence[str] = field(hash=False)
    name: str | None
    listed: date | None
    delisted: date | None
    in_universe: bool | None = None

    @property
    def is_removed(self) -> bool:
        """Whether it was removed from ``universe.yaml``: then nobody keeps it up to date any more."""
        return self.in_universe is False


@dataclass(frozen=True, slots=True)
class Alias:
    """``ticker`` named ``symbol`` in ``[valid_from, valid_until)``; None where there is no such limit."""

    symbol: str
    ticker: str
    valid_from: date | None
    valid_until: date | None


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync changed.

    Attributes:
        added: canonical symbols that are new.
        changed: those whose description differs now.
        removed: those that ``universe.yaml`` listed and lists no longer.
        sessions: of their calendars that changed.
        renamed: (former, present symbol) of those that ``universe.yaml`` lists under another symbol than before.
        questions: what the file leaves open, and what to do, for a person.
    """

    added: Sequence[str]
    changed: Sequence[str]
    removed: Sequence[str] = ()
    sessions: Sequence[SessionChange] = ()
    renamed: Sequence[tuple[str, str]] = ()
    questions: Sequence[str] = ()


def sync_instruments(connection: psycopg.Connection, configs: Iterable[InstrumentConfig]) -> SyncReport:
    """Bring the database's instruments, aliases and sessions to what is configured, in one transaction.

    Idempotent. An instrument that is configured no longer stays, with its bars.

    Raises:
        UsageError: a calendar does not exist or cannot be built. Nothing was changed.
    """
    configs = list(configs)
    calendars = sorted({config.calendar for config in configs})
    for name in calendars:
        get_calendar(name)  # before anything is written: one that cannot be built is an error
    added: list[str] = []
    changed: list[str] = []
    with connection.transaction():
        connection.execute("LOCK TABLE market.instrument IN SHARE ROW EXCLUSIVE MODE")
        for config in configs:
            row = connection.execute(query("instruments/register_instrument"), _values(config)).fetchone()
            if row is not None:
                (added if row[1] else changed).append(config.symbol)
            if _sync_aliases(connection, config) and row is None:
                changed.append(config.symbol)
    return SyncReport(added, changed, sessions=sync_sessions(connection, calendars))


def sync_universe(connection: psycopg.Connection, configs: Iterable[InstrumentConfig]) -> SyncReport:
    """Bring the database's instruments to all that ``universe.yaml`` lists; see ``sync_instruments``. Idempotent.

    Those that it listed before and lists no longer are marked as removed. They stay, with their bars, and nobody keeps
    them up to date. Instruments that it never listed are left as they are.
    """
    configs = list(configs)
    with connection.transaction():
        report = sync_instruments(connection, configs)
        symbols = [config.symbol for config in configs]
        marked = connection.execute(query("instruments/mark_universe"), {"symbols": symbols}).fetchall()
    return replace(report, removed=sorted(symbol for symbol, listed in marked if not listed))


def list_instruments(connection: psycopg.Connection) -> list[Instrument]:
    """Return every instrument, in the order of registration."""
    with connection.cursor(row_factory=class_row(Instrument)) as cursor:
        return cursor.execute(query("instruments/list_instruments")).fetchall()


def load_instruments(connection: psycopg.Connection) -> dict[str, Instrument]:
    """Return every instrument by its canonical symbol, in the order of registration."""
    return {instrument.symbol: instrument for instrument in list_instruments(connection)}


def list_aliases(connection: psycopg.Connection, instruments: Iterable[Instrument]) -> list[Alias]:
    """Return the tickers that named these instruments, by symbol, ticker and first day."""
    ids = [instrument.instrument_id for instrument in instruments]
    return [Alias(*row) for row in connection.execute(query("instruments/list_aliases"), {"ids": ids})]


def describe(connection: psycopg.Connection, instrument: Instrument) -> InstrumentConfig:
    """Return how an instrument is registered, with its aliases, as ``universe.yaml`` would say it."""
    aliases = connection.execute(query("instruments/aliases_of"), {"instrument_id": instrument.instrument_id})
    from chandlery.config.universe import InstrumentConfig  # noqa: PLC0415 - slow to import, and reads do not need it

    return InstrumentConfig.model_validate(
        {
            "symbol": instrument.symbol,
            "asset_class": instrument.asset_class,
            "calendar": instrument.calendar,
            "provider": instrument.provider,
            "timeframes": list(instrument.timeframes),
            "name": instrument.name or "",
            "listed": instrument.listed,
            "delisted": instrument.delisted,
            "aliases": [{"ticker": ticker, "from": start, "until": end} for ticker, start, end in aliases],
        }
    )


def symbols_of(connection: psycopg.Connection, ids: Iterable[int]) -> dict[int, str]:
    """Return the canonical symbol of each of these instruments, by id."""
    return dict(
        connection.execute(
            "SELECT instrument_id, symbol FROM market.instrument WHERE instrument_id = ANY(%(ids)s)",
            {"ids": list(ids)},
        ).fetchall()
    )


def _values(config: InstrumentConfig) -> dict[str, object]:
    return {
        "symbol": config.symbol,
        "asset_class": config.asset_class,
        "calendar": config.calendar,
        "provider": config.provider,
        "timeframes": [timeframe.value for timeframe in config.timeframes],
        "name": config.name or None,
        "listed": config.listed,
        "delisted": config.delisted,
    }


def _sync_aliases(connection: psycopg.Connection, config: InstrumentConfig) -> bool:
    """Bring the aliases of a registered instrument to what is configured; return whether that changed any."""
    row = connection.execute(
        query("instruments/sync_aliases"),
        {
            "symbol": config.symbol,
            "tickers": [alias.ticker for alias in config.aliases],
            "starts": [alias.valid_from for alias in config.aliases],
            "ends": [alias.valid_until for alias in config.aliases],
        },
    ).fetchone()
    return bool(row and row[0])
