"""Which derived bars are stale: the days whose base bars changed.

The publishing transaction notes them (``consequences``), and the one that rolls them up takes them.

Not here: how derived bars are computed (``rollup``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import psycopg

from chandlery.timeframe import Timeframe

Days = npt.NDArray[np.datetime64]
Ids = npt.NDArray[np.int64]


def take_stale(
    connection: psycopg.Connection, base: Timeframe, ids: Sequence[int], start: datetime, end: datetime
) -> tuple[Ids, Days]:
    """Take the stale days of these instruments in ``[start, end)`` off the list, sorted.

    Part of the transaction that rolls them up: if that fails, they are stale still.
    """
    rows = connection.execute(
        "DELETE FROM ops.rollup_pending"
        " WHERE timeframe = %s AND instrument_id = ANY(%s) AND day >= %s::date AND day < %s"
        " RETURNING instrument_id, day - date '1970-01-01'",
        (base.value, list(ids), start, end),
    ).fetchall()
    table = np.array(sorted(rows), np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1].astype("datetime64[D]")


def stale_version(connection: psycopg.Connection, base: Timeframe) -> str | None:
    """Return a text that changes whenever bars of ``base`` are published, or None where no day is stale."""
    row = connection.execute(
        "SELECT max(known_at), (SELECT count(*) FROM ops.rollup_pending WHERE timeframe = %(base)s)"
        " FROM ops.publication WHERE timeframe = %(base)s",
        {"base": base.value},
    ).fetchone()
    return f"{row[0]}/{row[1]}" if row and row[1] else None


def period_of(timeframe: Timeframe, days: Days) -> Days:
    """Return the first day of the period (day, week from Monday, or month) that is derived together with each day."""
    if timeframe is Timeframe.W1:  # 1970-01-01 was a Thursday
        weekday = (days.astype(np.int64) + 3) % 7
        return np.asarray(days - weekday.astype("timedelta64[D]"))
    if timeframe is Timeframe.MO1:
        return days.astype("datetime64[M]").astype("datetime64[D]")
    return days


def period_end(timeframe: Timeframe, periods: Days) -> Days:
    """Return the first day after each period."""
    if timeframe is Timeframe.MO1:
        return (periods.astype("datetime64[M]") + 1).astype("datetime64[D]")
    return periods + np.timedelta64(7 if timeframe is Timeframe.W1 else 1, "D")
