"""Instruments in the database: registering them, finding them by any name they ever had, and their calendars' sessions.

Not here: ``universe.yaml`` itself (``config``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from difflib import get_close_matches

import psycopg
from psycopg.rows import class_row

from chandlery.config.universe import InstrumentConfig
from chandlery.errors import AmbiguousSymbolError, UnknownSymbolError
from chandlery.instruments.sessions import sync_sessions

_COLUMNS = (
    "i.instrument_id, i.symbol, i.asset_class, i.calendar, i.provider, i.timeframes, i.name, i.listed, i.delisted"
)


@dataclass(frozen=True, slots=True)
class Instrument:
    """A thing that trades.

    Attributes:
        instrument_id: permanent number.
        symbol: canonical symbol.
        asset_class: equity, etf, crypto, fx, future or index.
        calendar: name in ``exchange_calendars``.
        provider: name in ``providers.yaml``.
        timeframes: the ingested timeframes that schedules keep up to date.
        name: what people call it.
        listed: its first session, where known.
        delisted: the first day on which it no longer traded, where known.
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


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync changed: canonical symbols that are new, and those whose description differs now."""

    added: Sequence[str]
    changed: Sequence[str]


def sync_instruments(connection: psycopg.Connection, configs: Iterable[InstrumentConfig]) -> SyncReport:
    """Bring the database's instruments, aliases and sessions to what is configured, in one transaction.

    Idempotent. An instrument that is configured no longer stays, with its bars.
    """
    configs = list(configs)
    added: list[str] = []
    changed: list[str] = []
    with connection.transaction():
        connection.execute("LOCK TABLE market.instrument IN SHARE ROW EXCLUSIVE MODE")
        for config in configs:
            row = connection.execute(_UPSERT, _values(config)).fetchone()
            if row is not None:
                (added if row[1] else changed).append(config.symbol)
            if _sync_aliases(connection, config) and row is None:
                changed.append(config.symbol)
    sync_sessions(connection, sorted({config.calendar for config in configs}))
    return SyncReport(added, changed)


def list_instruments(connection: psycopg.Connection) -> list[Instrument]:
    """Return every instrument, in the order of registration."""
    with connection.cursor(row_factory=class_row(Instrument)) as cursor:
        return cursor.execute("SELECT * FROM market.instrument ORDER BY instrument_id").fetchall()


def resolve(connection: psycopg.Connection, symbol: str, start: datetime, end: datetime) -> Instrument:
    """Return the instrument that ``symbol`` names in ``[start, end)``, UTC.

    A canonical symbol names its instrument always; any other ticker, on the days for which it is an alias.

    Raises:
        UnknownSymbolError: nothing goes by that name then; the text says when something did, or what is similar.
        AmbiguousSymbolError: it passed from one instrument to another within the range.
    """
    with connection.cursor(row_factory=class_row(Instrument)) as cursor:
        canonical = cursor.execute("SELECT * FROM market.instrument WHERE symbol = %s", (symbol,)).fetchone()
        if canonical is not None:
            return canonical
        found = cursor.execute(
            "SELECT DISTINCT i.* FROM market.symbol_alias AS a JOIN market.instrument AS i USING (instrument_id)"
            " WHERE a.ticker = %s AND a.valid_from < %s AND a.valid_until > %s::date",
            (symbol, end, start),
        ).fetchall()
    if len(found) > 1:
        names = ", ".join(instrument.symbol for instrument in found)
        raise AmbiguousSymbolError(f"symbol {symbol!r} named {names} within {start} .. {end}; ask for a shorter range")
    if not found:
        raise UnknownSymbolError(_hint(connection, symbol))
    return found[0]


def resolve_all(
    connection: psycopg.Connection, symbols: Sequence[str], start: datetime, end: datetime
) -> list[Instrument]:
    """Return the instrument that each of ``symbols`` names in ``[start, end)``, UTC; see ``resolve``."""
    with connection.cursor(row_factory=class_row(Instrument)) as cursor:
        cursor.execute("SELECT * FROM market.instrument WHERE symbol = ANY(%s)", (list(symbols),))
        canonical = {instrument.symbol: instrument for instrument in cursor}
    return [canonical.get(symbol) or resolve(connection, symbol, start, end) for symbol in symbols]


def symbols_of(connection: psycopg.Connection, ids: Iterable[int]) -> dict[int, str]:
    """Return the canonical symbol of each instrument."""
    return dict(
        connection.execute(
            "SELECT instrument_id, symbol FROM market.instrument WHERE instrument_id = ANY(%s)", (list(ids),)
        ).fetchall()
    )


def _hint(connection: psycopg.Connection, symbol: str) -> str:
    aliases = connection.execute(
        "SELECT i.symbol, nullif(a.valid_from, '-infinity')::text, nullif(a.valid_until, 'infinity')::text"
        " FROM market.symbol_alias AS a JOIN market.instrument AS i USING (instrument_id) WHERE a.ticker = %s",
        (symbol,),
    ).fetchall()
    if aliases:
        past = "; ".join(f"it named {name} from {start or 'ever'} until {end or 'now'}" for name, start, end in aliases)
        return f"symbol {symbol!r} names no instrument in that range: {past}"
    known = [row[0] for row in connection.execute("SELECT symbol FROM market.instrument").fetchall()]
    similar = get_close_matches(symbol.upper(), known, n=3)
    advice = f"did you mean {' or '.join(similar)}?" if similar else "`chandlery ingest` registers new symbols"
    return f"symbol {symbol!r} is not known; {advice}"


def _values(config: InstrumentConfig) -> tuple[object, ...]:
    return (
        config.symbol,
        config.asset_class,
        config.calendar,
        config.provider,
        [timeframe.value for timeframe in config.timeframes],
        config.name or None,
        config.listed,
        config.delisted,
    )


def _sync_aliases(connection: psycopg.Connection, config: InstrumentConfig) -> bool:
    wanted = [(alias.ticker, alias.valid_from, alias.valid_until) for alias in config.aliases]
    cursor = connection.execute(
        _ALIASES,
        (config.symbol, *(list(column) for column in zip(*wanted, strict=True)))
        if wanted
        else (config.symbol, [], [], []),
    )
    row = cursor.fetchone()
    return bool(row and row[0])


_UPSERT = """
INSERT INTO market.instrument AS i (symbol, asset_class, calendar, provider, timeframes, name, listed, delisted)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (symbol) DO UPDATE
SET asset_class = excluded.asset_class, calendar = excluded.calendar, provider = excluded.provider,
    timeframes = excluded.timeframes, name = excluded.name, listed = excluded.listed, delisted = excluded.delisted
WHERE (i.asset_class, i.calendar, i.provider, i.timeframes, i.name, i.listed, i.delisted)
    IS DISTINCT FROM (excluded.asset_class, excluded.calendar, excluded.provider, excluded.timeframes, excluded.name,
                      excluded.listed, excluded.delisted)
RETURNING symbol, xmax = 0 AS added
"""

_ALIASES = """
WITH owner AS (SELECT instrument_id FROM market.instrument WHERE symbol = %s),
wanted AS (
    SELECT ticker, coalesce(valid_from, '-infinity') AS valid_from, coalesce(valid_until, 'infinity') AS valid_until
    FROM unnest(%s::text[], %s::date[], %s::date[]) AS w (ticker, valid_from, valid_until)
),
gone AS (
    DELETE FROM market.symbol_alias AS a USING owner AS o
    WHERE a.instrument_id = o.instrument_id
        AND NOT EXISTS (SELECT FROM wanted AS w WHERE (w.ticker, w.valid_from) = (a.ticker, a.valid_from))
    RETURNING 1
),
put AS (
    INSERT INTO market.symbol_alias AS a (ticker, valid_from, valid_until, instrument_id)
    SELECT w.ticker, w.valid_from, w.valid_until, o.instrument_id FROM wanted AS w CROSS JOIN owner AS o
    ON CONFLICT (ticker, valid_from) DO UPDATE
    SET valid_until = excluded.valid_until, instrument_id = excluded.instrument_id
    WHERE (a.valid_until, a.instrument_id) IS DISTINCT FROM (excluded.valid_until, excluded.instrument_id)
    RETURNING 1
)
SELECT EXISTS (SELECT FROM gone) OR EXISTS (SELECT FROM put)
"""
