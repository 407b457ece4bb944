"""The windows of bars that publications change: a month of minutes or a year of days of one instrument.

Not here: what becomes of them later (``lake``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import psycopg

from chandlery.store.arrays import Column
from chandlery.store.merge import Changes
from chandlery.store.rows import pair_keys, split_keys
from chandlery.timeframe import Timeframe


def window_starts(timeframe: Timeframe, ts: npt.NDArray[np.datetime64]) -> npt.NDArray[np.datetime64]:
    """Return the first day of the window of each moment, ``datetime64[D]``."""
    return ts.astype("datetime64[M]" if timeframe.window_kind == "month" else "datetime64[Y]").astype("datetime64[D]")


def note_windows(connection: psycopg.Connection, timeframe: Timeframe, changes: Changes, known_at: datetime) -> None:
    """Note that bars of these windows changed. Part of the publishing transaction; only of ingested timeframes."""
    if not timeframe.is_ingested:
        return
    ids, days = split_keys(np.unique(pair_keys(changes.instrument_id, window_starts(timeframe, changes.ts))))
    connection.execute(
        "INSERT INTO ops.bar_window (timeframe, instrument_id, start, changed_at)"
        " SELECT %s, id, date '1970-01-01' + day, %s FROM unnest(%s::int4[], %s::int4[]) AS k (id, day)"
        " ON CONFLICT (timeframe, instrument_id, start) DO UPDATE SET changed_at = excluded.changed_at",
        (timeframe.value, known_at, Column(ids), Column(days)),
    )


def find_cold(
    connection: psycopg.Connection, timeframe: Timeframe, symbols: Sequence[str], first: datetime, last: datetime
) -> psycopg.Cursor:
    """Ask which windows of these instruments between ``first`` and ``last`` (inclusive) have left the store.

    Its rows are (instrument id, first day). To be called while their locks are held.
    """
    return connection.execute(
        "SELECT w.instrument_id, w.start FROM ops.bar_window AS w JOIN market.instrument AS i USING (instrument_id)"
        " WHERE w.timeframe = %s AND i.symbol = ANY(%s) AND w.cold AND w.start BETWEEN %s AND %s",
        (timeframe.value, list(symbols), timeframe.window_of(first).start.date(), last.date()),
    )
