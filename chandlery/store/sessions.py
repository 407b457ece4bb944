"""Counting the bars of each session while they are published, so that coverage never has to.

Not here: reading the counts (``coverage``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import psycopg

from chandlery.calendars import get_calendar
from chandlery.timeframe import Timeframe


def record_sessions(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    instrument_id: npt.NDArray[np.int32],
    ts: npt.NDArray[np.datetime64],
) -> None:
    """Add newly inserted bars to the coverage of their sessions. Part of the publishing transaction.

    Exact because every bar is inserted once, while its instrument is locked. Only ``1m`` is counted: derived bars are
    as complete as their base, and a bar of a day is its own session.
    """
    if timeframe is not Timeframe.M1 or not len(ts):
        return
    rows = connection.execute(
        "SELECT instrument_id, calendar FROM market.instrument WHERE instrument_id = ANY(%s)",
        (np.unique(instrument_id).tolist(),),
    ).fetchall()
    order = np.argsort(instrument_id, kind="stable")
    ids, micros = instrument_id[order], ts[order].astype(np.int64)
    columns: list[list[object]] = [[], [], [], [], [], []]
    for one, name in rows:
        first, last = np.searchsorted(ids, [one, one + 1])
        for row in _count(name, np.sort(micros[first:last])):
            for column, value in zip(columns, (one, *row), strict=True):
                column.append(value)
    connection.execute(_ADD, [timeframe.value, *columns])


def _count(calendar_name: str, ts: npt.NDArray[np.int64]) -> list[tuple[int, int, int, int, int]]:
    """Return (session, present, outside, first, last) for each session that ``ts`` (sorted, µs) touches."""
    calendar = get_calendar(calendar_name)
    session, inside = calendar.session_of(ts)
    starts = np.flatnonzero(np.r_[True, session[1:] != session[:-1]])
    ends = np.r_[starts[1:], len(ts)]
    present = np.add.reduceat(inside.astype(np.int64), starts)
    return list(
        zip(
            calendar.sessions[session[starts]].tolist(),
            present.tolist(),
            (ends - starts - present).tolist(),
            ts[starts].tolist(),
            ts[ends - 1].tolist(),
            strict=True,
        )
    )


_ADD = """
INSERT INTO ops.coverage AS c (instrument_id, timeframe, session, present, outside, first_ts, last_ts)
SELECT id, %s, date '1970-01-01' + day, present, outside,
       timestamptz 'epoch' + first * interval '1 microsecond', timestamptz 'epoch' + last * interval '1 microsecond'
FROM unnest(%s::int4[], %s::int4[], %s::int4[], %s::int4[], %s::int8[], %s::int8[])
    AS n (id, day, present, outside, first, last)
ON CONFLICT (instrument_id, timeframe, session) DO UPDATE
SET present = c.present + excluded.present, outside = c.outside + excluded.outside,
    first_ts = least(c.first_ts, excluded.first_ts), last_ts = greatest(c.last_ts, excluded.last_ts)
"""
