"""Which derived bars are stale: those of the days whose base bars changed since they were computed.

Not here: recording stale days and taking them off the list (``bars.bookkeeping``), and computing derived bars
(``aggregate``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg

from chandlery.core.timeframe import Timeframe
from chandlery.database.array_text import array_text
from chandlery.database.named_queries import query


def count_stale(connection: psycopg.Connection) -> dict[Timeframe, int]:
    """Return how many stale days each base timeframe has, of those that have any."""
    rows = connection.execute("SELECT timeframe, count(*) FROM ops.rollup_pending GROUP BY timeframe").fetchall()
    return {Timeframe(timeframe): count for timeframe, count in rows}


def list_stale_days(
    connection: psycopg.Connection,
    base: Timeframe,
    ids: Sequence[int],
    start: datetime,
    end: datetime,
    *,
    only_due: bool = False,
) -> list[tuple[int, list[datetime]]]:
    """Return the stale days of these instruments in ``[start, end)``, UTC.

    Args:
        connection: to the database.
        base: ``1m`` or ``1d``.
        ids: of the instruments.
        start: inclusive.
        end: exclusive.
        only_due: leave out days that failed and wait for another try.

    Returns:
        For each instrument that has any, ascending: its id, and its days as midnights UTC, ascending.
    """
    values = {
        "base": base.value,
        "ids": array_text(ids),
        "start": start,
        "end": end,
        "only_due": only_due,
    }
    return connection.execute(query("rollups/stale_days"), values).fetchall()


@dataclass(frozen=True, slots=True)
class Staleness:
    """How far what is rolled up from a timeframe is behind it.

    Attributes:
        version: changes whenever bars of the timeframe are published or rolling them up fails.
        due: stale days that may be rolled up now.
        waiting: stale days that failed and wait for another try.
        next_try: when the first of them is tried again, UTC.
    """

    version: str
    due: int
    waiting: int
    next_try: datetime | None


def read_staleness(connection: psycopg.Connection, base: Timeframe) -> Staleness:
    """Return how far what is rolled up from ``base`` is behind it."""
    row = connection.execute(query("rollups/staleness"), {"base": base.value}).fetchone()
    known_at, due, failures, waiting, next_try = row or (None, 0, 0, 0, None)
    return Staleness(f"{known_at}/{due}/{failures}", due, waiting, next_try)


def last_failures(connection: psycopg.Connection) -> list[tuple[Timeframe, int, datetime, str]]:
    """Return of each base timeframe: how many stale days failed, the next try (UTC), and the last error."""
    rows = connection.execute(
        "SELECT timeframe, count(*), min(next_try), (array_agg(error ORDER BY next_try DESC))[1]"
        " FROM ops.rollup_pending WHERE failures > 0 GROUP BY timeframe ORDER BY timeframe"
    ).fetchall()
    return [(Timeframe(base), days, next_try, error) for base, days, next_try, error in rows]
