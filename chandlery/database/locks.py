"""Who waits for whom: advisory locks by timeframe and instrument.

Locks are taken in one order (timeframes from narrow to wide, then ids ascending) and held until the transaction ends,
so nobody waits in a circle.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from chandlery.core.timeframe import Timeframe

#: Keeps our locks apart from those of other applications in the same database.
_NAMESPACE = 0x6368_0000
_ARCHIVE = 0x6368_0100


def lock_instruments(
    connection: psycopg.Connection, timeframe: Timeframe, ids: Sequence[int], *, shared: bool = False
) -> None:
    """Wait until nobody else publishes bars of ``timeframe`` for these instruments, and keep it so.

    Must be called in a transaction. Holders of a ``shared`` lock do not exclude each other.
    """
    connection.execute(
        sql.SQL("SELECT {}(%s::int4, id) FROM unnest(%s::int4[]) AS id").format(
            sql.SQL("pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock")
        ),
        (_NAMESPACE + timeframe.rank, sorted(ids)),
    )


def lock_archive(connection: psycopg.Connection, timeframe: Timeframe, instrument_id: int) -> None:
    """Wait until nobody else archives bars of ``timeframe`` of this instrument (0: of all), and keep it so."""
    connection.execute("SELECT pg_advisory_xact_lock(%s::int4, %s::int4)", (_ARCHIVE + timeframe.rank, instrument_id))


def lock_symbols(timeframe: Timeframe, symbols: Sequence[str]) -> tuple[str, tuple[object, ...]]:
    """Return a statement, and its parameters, that locks the instruments of these symbols for whoever publishes.

    Its rows are (symbol, instrument id, calendar, nothing) of those that are registered.
    """
    return _LOCK_SYMBOLS, (_NAMESPACE + timeframe.rank, list(symbols))


# Sorted inside, so that the locks are taken in that order.
_LOCK_SYMBOLS = """
SELECT symbol, instrument_id, calendar, pg_advisory_xact_lock(%s::int4, instrument_id)
FROM (
    SELECT symbol, instrument_id, calendar FROM market.instrument WHERE symbol = ANY(%s) ORDER BY instrument_id
) AS member
"""
