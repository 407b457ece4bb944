"""Counting the sessions of minutes anew in which bars ended: counts of coverage only grow otherwise.

Not here: counting what was inserted (``bookkeeping``), and sessions that changed (``coverage.calendar_changes``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np
import psycopg

from chandlery.bars.bookkeeping import replace_counts
from chandlery.bars.merge import Changes
from chandlery.bars.session_counts import count_sessions
from chandlery.core.calendars import Int64s, get_calendar
from chandlery.core.listing import session_edges
from chandlery.database.named_queries import query

_EPOCH = date(1970, 1, 1).toordinal()


def recount_sessions(connection: psycopg.Connection, ended: Changes, calendars: Mapping[int, str]) -> None:
    """Count every session anew of which minutes ended; part of the transaction that ended them, after its other counts.

    Args:
        connection: in that transaction, which holds the instruments' locks. The bars of the sessions are in the store.
        ended: the minutes.
        calendars: calendar's name by instrument id.
    """
    for owner in np.unique(ended.instrument_id).tolist():
        name = calendars[owner]
        sessions, edges = get_calendar(name).sessions, session_edges(name, intraday=True)
        moments = ended.ts[ended.instrument_id == owner].astype("datetime64[us]").astype(np.int64)
        touched = np.unique(get_calendar(name).session_of(moments)[0])
        # Runs of sessions that follow each other, each read and counted at once.
        for run in np.split(touched, np.flatnonzero(np.diff(touched) > 1) + 1):
            first, last = int(run[0]), int(run[-1])
            ts = _minutes(connection, owner, int(edges[first]), int(edges[last + 1]))
            counts = count_sessions(np.full(len(ts), owner, np.int32), ts, {owner: name})
            replace_counts(connection, owner, _day(sessions[first]), _day(sessions[last]), counts)


def _minutes(connection: psycopg.Connection, owner: int, start: int, end: int) -> Int64s:
    values = {"instrument_id": owner, "start": start, "end": end}
    rows = connection.execute(query("bars/minutes_of"), values).fetchall()
    return np.array([ts for (ts,) in rows], np.int64)


def _day(number: np.int64) -> date:
    return date.fromordinal(_EPOCH + int(number))
