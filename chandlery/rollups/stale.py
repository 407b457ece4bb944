"""Which derived bars are stale: the days whose base bars changed.

The publishing transaction notes them (``consequences``), and the one that rolls them up takes them.

Not here: how derived bars are computed (``rollup``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import psycopg

from chandlery.core.periods import Days, Ids
from chandlery.core.timeframe import Timeframe


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
