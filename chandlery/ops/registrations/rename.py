"""Renaming an instrument: it keeps its number and its history, and its former symbol still finds it.

Not here: a rename that ``universe.yaml`` says (``universe``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import psycopg

from chandlery.database.named_queries import query
from chandlery.errors import UsageError
from chandlery.instruments.registry import Instrument, load_instruments
from chandlery.instruments.rename import former_uses, rename_instrument
from chandlery.ops.registrations.belongings import forget, hold_instruments, read_belongings
from chandlery.tiers.bring_back import bring_back
from chandlery.tiers.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Renamed:
    """What a rename did.

    Attributes:
        instrument_id: of the instrument, before and after.
        former: its symbol of before, which is an alias now.
        symbol: its symbol.
        until: first day on which the former symbol no longer names it; None where it still does.
        restored: windows that came back from the lake, to be archived anew under the new symbol.
        absorbed: whether an instrument without bars was registered under the new symbol, and is gone.
        taken: what else the new symbol named as an alias, with the first day on which it no longer did; from now on the
            symbol names this instrument alone, on those days too.
    """

    instrument_id: int
    former: str
    symbol: str
    until: date | None
    restored: int = 0
    absorbed: bool = False
    taken: Sequence[tuple[str, date]] = ()


def rename(
    connection: psycopg.Connection, warehouse: Warehouse, former: str, symbol: str, until: date | None = None
) -> Renamed:
    """Give an instrument another symbol, in one transaction.

    Windows of it that left the store come back, because the files of the lake name symbols. Whatever is registered
    under the new symbol already and has nothing stored gives way.

    Args:
        connection: to the warehouse's database.
        warehouse: where the instrument is.
        former: its canonical symbol.
        symbol: that it has from now on.
        until: first day on which the former symbol no longer names it; by default it still does.

    Raises:
        UsageError: there is no such instrument, or the new symbol belongs to another that has bars, or cannot be one.
        LakeError: a file that has to be read is missing or damaged. Nothing was changed.
    """
    with connection.transaction():
        hold_instruments(connection)
        known = load_instruments(connection)
        if former not in known:
            raise UsageError(f"symbol {former!r} is not the symbol of any instrument; see `chandlery instruments list`")
        instrument, other = known[former], known.get(symbol)
        if former == symbol:
            raise UsageError(f"symbol {symbol!r} is its symbol already")
        if other is not None:
            _give_way(connection, other, instrument)
        restored = bring_back(connection, warehouse, [instrument.instrument_id])
        taken = former_uses(connection, instrument, symbol)
        rename_instrument(connection, instrument, symbol, until)
    return Renamed(instrument.instrument_id, former, symbol, until, restored, other is not None, taken)


def _give_way(connection: psycopg.Connection, other: Instrument, instrument: Instrument) -> None:
    """Forget an instrument of which nothing is stored; its other names go to the one that takes its symbol."""
    names = {"giver": other.instrument_id, "receiver": instrument.instrument_id}
    connection.execute(query("instruments/give_aliases"), names)
    belongings = read_belongings(connection, other)
    if belongings.windows or belongings.lost:
        why = "has bars" if belongings.windows else f"has {', '.join(belongings.lost)}"
        raise UsageError(
            f"symbol {other.symbol!r} belongs to another instrument, which {why}; if both are the same thing:"
            f" `chandlery instruments merge {instrument.symbol} {other.symbol}`"
        )
    forget(connection, other)
