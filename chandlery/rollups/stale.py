"""Which derived bars are stale: those of the days whose base bars changed since they were computed.

Not here: recording stale days and taking them off the list (``bars.bookkeeping``), and computing derived bars
(``aggregate``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import psycopg

from chandlery.core.timeframe import Timeframe
from chandlery.database.named_queries import query


def count_stale(connection: psycopg.Connection) -> dict[Timeframe, int]:
    """Return how many stale days each base timeframe has, of those that have any."""
    rows = connection.execute("SELECT timeframe, count(*) FROM ops.rollup_pending GROUP BY timeframe").fetchall()
    return {Timeframe(timeframe): count for timeframe, count in rows}


def list_stale_days(
    connection: psycopg.Connection, base: Timeframe, ids: Sequence[int], start: datetime, end: datetime
) -> list[tuple[int, list[datetime]]]:
    """Return the stale days of these instruments in ``[start, end)``, UTC.

    Args:
        connection: to the database.
        base: ``1m`` or ``1d``.
        ids: of the instruments.
        start: inclusive.
        end: exclusive.

    Returns:
        For each instrument that has any, ascending: its id, and its days as midnights UTC, ascending.
    """
    values = {"base": base.value, "ids": list(ids), "start": start, "end": end}
    return connection.execute(query("rollups/stale_days"), values).fetchall()


def stale_version(connection: psycopg.Connection, base: Timeframe) -> str | None:
    """Return a text that changes whenever bars of ``base`` are published, or None where no day is stale."""
    row = connection.execute(
        "SELECT max(known_at), (SELECT count(*) FROM ops.rollup_pending WHERE timeframe = %(base)s)"
        " FROM ops.publication WHERE timeframe = %(base)s",
        {"base": base.value},
    ).fetchone()
    return f"{row[0]}/{row[1]}" if row and row[1] else None
