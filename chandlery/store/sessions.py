"""Counting the bars of each session while they are published, so that coverage never has to.

Not here: reading the counts (``coverage``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import psycopg

from chandlery.calendars import Calendar, Int64s, get_calendar
from chandlery.store.arrays import Column
from chandlery.timeframe import Timeframe


def record_sessions(
    connection: psycopg.Connection,
    timeframe: Timeframe,
    instrument_id: npt.NDArray[np.int32],
    ts: npt.NDArray[np.datetime64],
    calendars: Mapping[int, str],
) -> None:
    """Add newly inserted bars to the coverage of their sessions. Part of the publishing transaction.

    Exact because every bar is inserted once, while its instrument is locked. Only ``1m`` is counted: derived bars are
    as complete as their base, and a bar of a day is its own session.
    """
    if timeframe is not Timeframe.M1 or not len(ts):
        return
    ids, micros = _sorted(instrument_id, ts.astype(np.int64))
    names = np.array([calendars[i] for i in np.unique(ids).tolist()])
    for name in np.unique(names).tolist():
        mine = slice(None) if (names == name).all() else np.isin(ids, np.unique(ids)[names == name])
        counts = _count(get_calendar(name), ids[mine], micros[mine])
        connection.execute(_ADD, [timeframe.value, *map(Column, counts)])


def _sorted(ids: npt.NDArray[np.int32], ts: Int64s) -> tuple[npt.NDArray[np.int32], Int64s]:
    later = (ids[1:] > ids[:-1]) | ((ids[1:] == ids[:-1]) & (ts[1:] > ts[:-1]))
    if later.all():
        return ids, ts
    order = np.lexsort((ts, ids))
    return ids[order], ts[order]


def _count(calendar: Calendar, ids: npt.NDArray[np.int32], ts: Int64s) -> tuple[npt.NDArray[np.generic], ...]:
    """Return what there is of each session of each instrument, of bars sorted by instrument and time (µs).

    Returns:
        Parallel arrays: instrument id, session, bars inside, bars outside, first bar, last bar.
    """
    session, inside = calendar.session_of(ts)
    starts = np.flatnonzero(np.r_[True, (ids[1:] != ids[:-1]) | (session[1:] != session[:-1])])
    ends = np.r_[starts[1:], len(ts)]
    present = np.add.reduceat(inside.astype(np.int64), starts)
    return ids[starts], calendar.sessions[session[starts]], present, ends - starts - present, ts[starts], ts[ends - 1]


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
