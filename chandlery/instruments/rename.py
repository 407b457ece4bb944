"""Giving an instrument another symbol; the one that it had becomes an alias.

Not here: the files of the lake, which name symbols (``ops.registrations``), and finding by name (``aliases``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import psycopg

from chandlery.core.symbols import validate_symbol
from chandlery.database.named_queries import query
from chandlery.errors import UsageError
from chandlery.instruments.registry import Instrument


def former_uses(connection: psycopg.Connection, instrument: Instrument, symbol: str) -> list[tuple[str, date]]:
    """Return which other instruments ``symbol`` named as an alias, and the first day on which it no longer did.

    A canonical symbol goes before an alias: once ``instrument`` has it, it names that on those days too.
    """
    claims = connection.execute(query("instruments/claims_of_ticker"), {"ticker": symbol, "until": None}).fetchall()
    return [(owner, end) for owner, _, end in claims if owner != instrument.symbol and end is not None]


def describe_uses(taken: Sequence[tuple[str, date]], new: str, symbol: str) -> list[str]:
    """Return in words what ``former_uses`` found, where ``symbol`` becomes ``new``."""
    return [
        f"{new} was a symbol of {owner} until {end}: from now on {new} names what {symbol} was, for days before that"
        f" too, and the bars of {owner} are found as {owner} alone"
        for owner, end in taken
    ]


def rename_instrument(connection: psycopg.Connection, instrument: Instrument, symbol: str, until: date | None) -> None:
    """Let an instrument have another symbol; the one that it had becomes an alias until a day.

    Args:
        connection: in a transaction that holds the table of instruments.
        instrument: which.
        symbol: that it has from now on; no other instrument has it.
        until: first day on which its former symbol no longer named it; None where it still does.

    Raises:
        UsageError: the symbol is none, or one of the two is an alias of another instrument.
    """
    validate_symbol(symbol)
    # What the symbol named before it had an end; whoever renames says that (``former_uses``).
    for ticker, last in ((symbol, None), (instrument.symbol, until)):
        claims = connection.execute(query("instruments/claims_of_ticker"), {"ticker": ticker, "until": last})
        for owner, start, end in claims.fetchall():
            # A canonical symbol goes before an alias that ended; one that did not would be lost.
            if owner != instrument.symbol and (ticker != symbol or end is None):
                raise UsageError(
                    f"symbol {ticker!r} names {owner} already, from {start or 'ever'} until {end or 'now'}; say with"
                    " --until since when it names that, or correct the alias in universe.yaml"
                )
    connection.execute(
        query("instruments/rename_instrument"),
        {
            "instrument_id": instrument.instrument_id,
            "symbol": symbol,
            "former": instrument.symbol,
            "until": until,
        },
    )
