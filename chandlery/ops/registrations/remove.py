"""Removing an instrument that has no bars. Not here: one that ``universe.yaml`` lists no longer, which stays."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from chandlery.errors import UsageError
from chandlery.instruments.registry import Instrument, load_instruments
from chandlery.ops.registrations.belongings import forget, hold_instruments, read_belongings


def removable(connection: psycopg.Connection, symbol: str) -> tuple[Instrument, list[str]]:
    """Return an instrument that may be removed, and what goes with it, in words.

    Raises:
        UsageError: there is none of that symbol, it has bars, or ``universe.yaml`` lists it.
    """
    known = load_instruments(connection)
    if symbol not in known:
        raise UsageError(f"symbol {symbol!r} is not the symbol of any instrument; see `chandlery instruments list`")
    instrument = known[symbol]
    if instrument.in_universe:
        raise UsageError(f"{symbol} is described in universe.yaml: take it out there and run `chandlery init` first")
    belongings = read_belongings(connection, instrument)
    if belongings.windows:
        raise UsageError(
            f"{symbol} has bars, or had some, and what was published stays; if it is another name of an instrument,"
            " see `chandlery instruments merge --help`"
        )
    return instrument, belongings.lost


def remove(connection: psycopg.Connection, symbol: str, lost: Sequence[str]) -> None:
    """Delete an instrument with all that is noted of it, in one transaction.

    Args:
        connection: to the market database.
        symbol: canonical.
        lost: what a person knows to go with it, as ``removable`` returned it.

    Raises:
        UsageError: as ``removable`` does, or because something else would go with it now.
    """
    with connection.transaction():
        hold_instruments(connection)
        instrument, found = removable(connection, symbol)
        if list(lost) != found:
            raise UsageError(f"{symbol} changed meanwhile, and has {', '.join(found) or 'nothing'} now; try again")
        forget(connection, instrument)
