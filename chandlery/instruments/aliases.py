"""Finding an instrument by any name it ever had.

A canonical symbol names its instrument always; any other ticker names one on the days for which it is an alias. Not
here: registering instruments and their aliases (``registry``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from difflib import get_close_matches

import psycopg
from psycopg.rows import class_row

from chandlery.core.symbols import validate_symbol
from chandlery.core.text import shorten
from chandlery.database.named_queries import query
from chandlery.errors import AmbiguousSymbolError, UnknownSymbolError
from chandlery.instruments.registry import Instrument


def resolve(connection: psycopg.Connection, symbol: str, start: datetime, end: datetime) -> Instrument:
    """Return the instrument that ``symbol`` names in ``[start, end)``, UTC.

    Raises:
        UnknownSymbolError: no instrument has that name then; the text says when one had it, or what is similar.
        AmbiguousSymbolError: it passed from one instrument to another within the range.
    """
    return resolve_all(connection, [symbol], start, end)[0]


def resolve_all(
    connection: psycopg.Connection, symbols: Sequence[str], start: datetime, end: datetime
) -> list[Instrument]:
    """Return the instruments that ``symbols`` name in ``[start, end)``, UTC, in their order; see ``resolve``."""
    for symbol in symbols:
        if not symbol.isprintable():  # which a server would refuse in words of its own
            validate_symbol(symbol)
    with connection.cursor(row_factory=class_row(Instrument)) as cursor:
        cursor.execute(query("instruments/instruments_by_symbol"), {"symbols": list(symbols)})
        canonical = {instrument.symbol: instrument for instrument in cursor}
    return [canonical.get(symbol) or _resolve_alias(connection, symbol, start, end) for symbol in symbols]


def resolve_ids(connection: psycopg.Connection, symbols: Sequence[str], start: datetime, end: datetime) -> list[int]:
    """Return the ids of the instruments that ``symbols`` name in ``[start, end)``, UTC, in their order.

    Of thousands, in a fraction of the time that their descriptions take.
    """
    found: dict[str, int] = {}
    if all(map(str.isprintable, symbols)):
        statement = "SELECT symbol, instrument_id FROM market.instrument WHERE symbol = ANY(%(symbols)s)"
        found = dict(connection.execute(statement, {"symbols": list(symbols)}).fetchall())
    others = [symbol for symbol in symbols if symbol not in found]
    described = resolve_all(connection, others, start, end) if others else []
    found |= {symbol: each.instrument_id for symbol, each in zip(others, described, strict=True)}
    return [found[symbol] for symbol in symbols]


def current_symbols(connection: psycopg.Connection, tickers: Iterable[str]) -> dict[str, str]:
    """Return the canonical symbol by ticker, of those tickers that are aliases and no canonical symbols."""
    rows = connection.execute(query("instruments/current_symbols"), {"tickers": list(tickers)})
    return dict(rows.fetchall())


def other_tickers(connection: psycopg.Connection, symbols: Iterable[str]) -> dict[str, list[str]]:
    """Return the aliases of instruments by canonical symbol, the latest first; of those that have any."""
    found: dict[str, list[str]] = {}
    for symbol, ticker in connection.execute(query("instruments/tickers_of"), {"symbols": list(symbols)}):
        found.setdefault(symbol, []).append(ticker)
    return found


def _resolve_alias(connection: psycopg.Connection, ticker: str, start: datetime, end: datetime) -> Instrument:
    with connection.cursor(row_factory=class_row(Instrument)) as cursor:
        values = {"ticker": ticker, "start": start, "end": end}
        instruments = cursor.execute(query("instruments/instruments_by_alias"), values).fetchall()
    if len(instruments) > 1:
        names = ", ".join(instrument.symbol for instrument in instruments)
        raise AmbiguousSymbolError(f"symbol {ticker!r} named {names} within {start} .. {end}; ask for a shorter range")
    if not instruments:
        raise UnknownSymbolError(_hint(connection, ticker))
    return instruments[0]


def _hint(connection: psycopg.Connection, symbol: str) -> str:
    """Return why ``symbol`` names nothing: what it named at other times, or which symbols are similar."""
    uses = connection.execute(query("instruments/uses_of_alias"), {"ticker": symbol}).fetchall()
    if uses:
        past = "; ".join(f"it named {name} from {start or 'ever'} until {end or 'now'}" for name, start, end in uses)
        return f"symbol {symbol!r} names no instrument in that range: {past}"
    known = [row[0] for row in connection.execute("SELECT symbol FROM market.instrument").fetchall()]
    similar = get_close_matches(symbol.upper(), known, n=3)
    advice = f"did you mean {' or '.join(similar)}?" if similar else "`chandlery ingest` registers new symbols"
    return f"symbol {shorten(symbol)} is not known; {advice}"
